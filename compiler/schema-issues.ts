import type { z } from 'zod';
import type { Verb } from '../model/pipeline.ts';
import { didYouMean } from './closest.ts';
import { type LocatedProblem, type Problem, quoted, refused } from './diagnostic.ts';
import { DURATION_PATTERN } from './duration.ts';
import { schemasAt } from './json-schema.ts';
import { SIZE_PATTERN } from './size.ts';
import { VERB_NAMES } from './verbs.ts';
import { at, type Context, exampleRemedy, expectedTypes, inWords, typeInWords } from './wording.ts';
import { entryOf, locate, spanOfNode, textOf, type YamlNode, type YamlPath } from './yaml-tree.ts';

type Issue = z.core.$ZodIssue;

/** Turns an issue of the schema into problems that the file's author understands, each in its place. */
export function problemsOf(issue: Issue, base: YamlPath, context: Context): readonly LocatedProblem[] {
  const path = [...base, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  switch (issue.code) {
    case 'invalid_union':
      return unionProblems(issue, path, context);
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(key, path, context));
    case 'invalid_type':
      return [wrongType(path, context)];
    case 'invalid_value':
      return [wrongValue(issue.values, path, context)];
    case 'too_small':
    case 'too_big':
      return [outOfRange(issue, path, context)];
    case 'invalid_format':
      return [at(path, context, wrongFormat(path, context))];
    case 'invalid_key':
      return [badKeyName(path, context)];
    case 'custom':
      return customProblems(issue, path, context);
    default:
      return [
        at(
          path,
          context,
          refused('WRONG_VALUE', `${inWords(path)}: ${issue.message}`, exampleRemedy(path, context)).problem,
        ),
      ];
  }
}

/**
 * Picks the branch of a choice that the author meant: the one that the value's type fits. Where the type fits no branch, the
 * whole value has the wrong type.
 */
function unionProblems(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: YamlPath,
  context: Context,
): readonly LocatedProblem[] {
  const isText = textOf(locate(context.root, path).node) !== undefined;
  const meant = issue.errors.find(
    (branch) =>
      !branch.some(
        ({ code, path: inner }) =>
          inner.length === 0 && (code === 'invalid_type' || (code === 'invalid_value' && !isText)),
      ),
  );
  if (meant === undefined) return [wrongType(path, context)];
  return meant.flatMap((inner) => problemsOf(inner, path, context));
}

function customProblems(
  issue: Extract<Issue, { code: 'custom' }>,
  path: YamlPath,
  context: Context,
): readonly LocatedProblem[] {
  const { problem, choices, chosen } = (issue.params ?? {}) as {
    readonly problem?: Problem;
    readonly choices?: readonly string[];
    readonly chosen?: readonly string[];
  };
  if (problem !== undefined) return [at(path, context, problem)];
  if (choices === undefined || chosen === undefined) {
    return [at(path, context, refused('WRONG_VALUE', issue.message, exampleRemedy(path, context)).problem)];
  }
  return notExactlyOne(choices, chosen, path, context);
}

function notExactlyOne(
  choices: readonly string[],
  chosen: readonly string[],
  path: YamlPath,
  context: Context,
): readonly LocatedProblem[] {
  const { node } = locate(context.root, path);
  const isStep = choices.length === VERB_NAMES.length;
  const [first, ...others] =
    node.kind === 'mapping' ? node.entries.map(({ key }) => key).filter((key) => chosen.includes(key)) : [];
  if (first === undefined) {
    // An unknown key is most likely a misspelt choice. It is reported as unknown.
    const known = schemasAt(context.schema, path).flatMap((schema) => Object.keys(schema.properties ?? {}));
    if (node.kind === 'mapping' && node.entries.some(({ key }) => !known.includes(key))) return [];
    const wanted = choices.map((choice) => `\`${choice}\``).join(choices.length > 2 ? ', ' : ' or ');
    return [
      at(
        path,
        context,
        refused(
          'NOT_EXACTLY_ONE',
          isStep ? 'This step has no verb' : `${inWords(path)} is empty`,
          choices.length === 1
            ? exampleRemedy([...path, choices[0] ?? ''], context)
            : `Write one of ${wanted}.`,
        ).problem,
      ),
    ];
  }
  return others.map((choice) => ({
    ...refused(
      'NOT_EXACTLY_ONE',
      isStep
        ? `This step has two verbs, \`${first}\` and \`${choice}\``
        : `${inWords(path)} has both \`${first}\` and \`${choice}\``,
      isStep ? `Make \`${choice}\` a step of its own, with a \`-\` in front.` : 'Keep one of them.',
    ),
    span: entryOf(node, choice)?.keySpan ?? node.span,
  }));
}

function unknownKey(key: string, path: YamlPath, context: Context): LocatedProblem {
  const { node } = locate(context.root, path);
  const span = entryOf(node, key)?.keySpan ?? node.span;
  const known = schemasAt(context.schema, path).flatMap((schema) => Object.keys(schema.properties ?? {}));
  const misplaced = misplacedStepKey(key, node, path, context);
  if (misplaced !== undefined) return { problem: misplaced, span };
  return {
    ...refused(
      'UNKNOWN_KEY',
      `${quoted(key)} is not a key of ${path.length === 0 ? 'a document' : inWords(path)}`,
      didYouMean(key, known) ?? `Known here: ${known.join(', ')}.`,
    ),
    span,
  };
}

/** Settings belong in the verb's mapping; `id`, `needs` and `when` belong beside the verb. People mix the two up. */
function misplacedStepKey(
  key: string,
  node: YamlNode,
  path: YamlPath,
  context: Context,
): Problem | undefined {
  const inSteps = path[1] === 'steps';
  if (inSteps && path.length === 3 && node.kind === 'mapping') {
    const verb = node.entries.map((entry) => entry.key).find((name): name is Verb => isVerb(name));
    if (verb === undefined) return undefined;
    const options = schemasAt(context.schema, [...path, verb]).flatMap((schema) =>
      Object.keys(schema.properties ?? {}),
    );
    if (!options.includes(key)) return undefined;
    return refused(
      'MISPLACED_KEY',
      `\`${key}\` stands beside \`${verb}\`, and belongs inside its mapping`,
      `Write \`- ${verb}: { ${key}: … }\`.`,
    ).problem;
  }
  if (inSteps && path.length === 4 && ['id', 'needs', 'when'].includes(key)) {
    return refused(
      'MISPLACED_KEY',
      `\`${key}\` stands inside the mapping of \`${String(path[3])}\`, and belongs beside the verb`,
      `Write it on a line of its own below \`- ${String(path[3])}:\`, indented like the verb.`,
    ).problem;
  }
  return undefined;
}

function isVerb(name: string): boolean {
  return VERB_NAMES.some((verb) => verb === name);
}

function wrongType(path: YamlPath, context: Context): LocatedProblem {
  const found = locate(context.root, path);
  if (found.depth < path.length) return missing(path, context);
  const withoutUnit = missingUnit(found.node, path, context);
  if (withoutUnit !== undefined) return at(path, context, withoutUnit);
  const expected = expectedTypes(schemasAt(context.schema, path));
  const isNothing = found.node.kind === 'scalar' && found.node.value === null;
  const message = isNothing
    ? `${inWords(path)} has no value`
    : `${inWords(path)} must be ${expected}, and this is ${typeInWords(found.node)}`;
  return at(path, context, refused('WRONG_TYPE', message, typeRemedy(found.node, path, context)).problem);
}

/** The problem of a number in the place of a duration or a size. */
function missingUnit(node: YamlNode, path: YamlPath, context: Context): Problem | undefined {
  if (node.kind !== 'scalar' || typeof node.value !== 'number') return undefined;
  const patterns = schemasAt(context.schema, path).map(({ pattern }) => pattern);
  const message = `${inWords(path)} is ${node.value} without a unit`;
  const whole = Math.max(1, Math.round(Math.abs(node.value)));
  if (patterns.includes(DURATION_PATTERN)) {
    return refused('BAD_DURATION', message, `Write \`${whole}s\`, \`${whole}m\` or \`${whole}h\`.`).problem;
  }
  if (patterns.includes(SIZE_PATTERN)) return refused('BAD_SIZE', message, `Write \`${whole}MiB\`.`).problem;
  return undefined;
}

function missing(path: YamlPath, context: Context): LocatedProblem {
  const parent = path.slice(0, -1);
  const found = locate(context.root, parent);
  return {
    ...refused('MISSING_KEY', `${inWords(path)} is missing`, exampleRemedy(path, context, 'Add')),
    span: found.keySpan ?? spanOfNode(found.node),
  };
}

function typeRemedy(node: YamlNode, path: YamlPath, context: Context): string {
  const schemas = schemasAt(context.schema, path);
  const isPlain =
    node.kind === 'scalar' && (typeof node.value === 'number' || typeof node.value === 'boolean');
  if (isPlain && schemas.some((schema) => schema.type === 'string')) {
    return `Put it in quotes: \`"${String(node.value)}"\`.`;
  }
  const wantsList = schemas.length > 0 && schemas.every((schema) => schema.type === 'array');
  if (wantsList && node.kind === 'scalar' && node.value !== null) {
    return `Write a list: \`[${textForRemedy(node)}]\`.`;
  }
  return exampleRemedy(path, context);
}

/** The text of a scalar that a remedy may repeat: it is short, and can't be a secret. */
function textForRemedy(node: YamlNode): string {
  const text = node.kind === 'scalar' ? String(node.value) : '';
  return /^[\w.*-]{1,40}$/.test(text) ? text : '…';
}

function wrongValue(values: readonly unknown[], path: YamlPath, context: Context): LocatedProblem {
  const found = locate(context.root, path);
  if (found.depth < path.length) return missing(path, context);
  const choices = values.map(String);
  const written = textOf(found.node);
  if (path.length === 1 && path[0] === 'apiVersion') {
    return at(
      path,
      context,
      refused(
        'UNKNOWN_VERSION',
        `This version of Holdfast reads ${choices.join(', ')} only`,
        `Write \`apiVersion: ${choices[0]}\`.`,
      ).problem,
    );
  }
  if (path.length === 3 && path[1] === 'steps' && written !== undefined) {
    return at(path, context, unknownVerb(written, path, context));
  }
  const expected = choices.map((choice) => `\`${choice}\``).join(', ');
  return at(
    path,
    context,
    refused(
      'WRONG_VALUE',
      written === undefined
        ? `${inWords(path)} must be one of ${expected}, and this is ${typeInWords(found.node)}`
        : `${quoted(written)} is not a value of ${inWords(path)}`,
      didYouMean(written ?? '', choices) ?? `Write one of ${expected}.`,
    ).problem,
  );
}

function unknownVerb(written: string, path: YamlPath, context: Context): Problem {
  if (isVerb(written)) {
    return refused(
      'MISSING_KEY',
      `\`${written}\` does nothing without its options`,
      exampleRemedy([...path, written], context),
    ).problem;
  }
  return refused(
    'UNKNOWN_KEY',
    `${quoted(written)} is not a verb`,
    didYouMean(written, VERB_NAMES) ?? `Verbs are ${VERB_NAMES.join(', ')}.`,
  ).problem;
}

function outOfRange(
  issue: Extract<Issue, { code: 'too_small' | 'too_big' }>,
  path: YamlPath,
  context: Context,
): LocatedProblem {
  const bound = issue.code === 'too_small' ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
  const { node } = locate(context.root, path);
  switch (issue.origin) {
    case 'string':
      return at(
        path,
        context,
        refused(
          'WRONG_VALUE',
          issue.code === 'too_small'
            ? `${inWords(path)} is empty`
            : `${inWords(path)} is longer than ${issue.maximum} characters`,
          issue.code === 'too_small' ? exampleRemedy(path, context) : 'Shorten it.',
        ).problem,
      );
    case 'array':
      return at(
        path,
        context,
        refused(
          'WRONG_VALUE',
          issue.code === 'too_small'
            ? `The list ${inWords(path)} is empty`
            : `The list ${inWords(path)} is longer than ${issue.maximum}`,
          issue.code === 'too_small' ? `${exampleRemedy(path, context)} Or leave it out.` : 'Shorten it.',
        ).problem,
      );
    default: {
      const written = node.kind === 'scalar' ? ` ${String(node.value)}` : '';
      const single = path[1] === 'steps' && issue.code === 'too_big' && issue.maximum === 1;
      return at(
        path,
        context,
        refused(
          'OUT_OF_RANGE',
          single
            ? `\`${String(path[3])}\` is one activity, so that its \`parallelism\` can only be 1`
            : `${inWords(path)} is${written}, and must be ${bound}`,
          single ? 'Remove it.' : `Write a number of ${bound}.`,
        ).problem,
      );
    }
  }
}

function wrongFormat(path: YamlPath, context: Context): Problem {
  const written = textOf(locate(context.root, path).node) ?? '';
  return refused(
    'BAD_NAME',
    `${quoted(written)} is not a value of ${inWords(path)}`,
    exampleRemedy(path, context),
  ).problem;
}

function badKeyName(path: YamlPath, context: Context): LocatedProblem {
  const parent = locate(context.root, path.slice(0, -1)).node;
  const key = String(path.at(-1));
  const isParameter = path.at(-2) === 'parameters';
  return {
    ...refused(
      'BAD_NAME',
      `${quoted(key)} is not the name of a ${isParameter ? 'parameter' : 'label'}`,
      isParameter
        ? 'Begin with a letter, and go on with letters, digits, `_` and `-`.'
        : 'Write 1 to 63 characters.',
    ),
    span: entryOf(parent, key)?.keySpan ?? parent.span,
  };
}
