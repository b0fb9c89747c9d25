import { didYouMean } from './closest.ts';
import { type LocatedProblem, quoted, refused } from './diagnostic.ts';
import { type DocumentOutline, outline as outlineOf } from './outline.ts';
import type { PARAMETER_TYPES } from './schema/template.ts';
import type { SourceFile, Span } from './source-text.ts';
import { fill, isWithin, merged, moved, parametersIn } from './template-fill.ts';
import { validate } from './validate.ts';
import { typeInWords } from './wording.ts';
import { entryOf, textOf, valueAt, type YamlEntry, type YamlNode } from './yaml-tree.ts';

/*
 * Plans made of templates. A template is filled and merged as a tree of parsed values, never as text: so a value can't become a key or
 * a structure, whatever characters it holds. Values are filled in once, and what they hold is not looked through again.
 */

/** Bounds the work for any files: each plan copies its template. */
const VALUES_AT_MOST = 2_000;
const PARAMETERS_IN_A_TEXT = 20;
const LONGEST_VALUE = 1_000;

/** Codes of what a part of a plan may lack because another part has it. */
const OF_THE_WHOLE: readonly string[] = ['MISSING_KEY', 'NOT_EXACTLY_ONE', 'CONSISTENCY_NOT_SAID'];

interface Parameter {
  readonly type: (typeof PARAMETER_TYPES)[number];
  /** The value where a plan gives none. */
  readonly fallback?: YamlNode;
}

interface TemplateContent {
  /** `spec.plan`, with its parameters not filled in. */
  readonly body: YamlNode;
  readonly parameters: ReadonlyMap<string, Parameter>;
}

/** A PlanTemplate document in one of the files. */
export interface Template {
  readonly name: string;
  readonly source: SourceFile;
  /** Absent where the document has errors. */
  readonly content?: TemplateContent;
}

/** Where plans find templates by name. */
export interface TemplateIndex {
  readonly templates: readonly Template[];
  /** False when the name of some document can't be read. A missing template may be that document. */
  readonly complete: boolean;
}

/** A plan together with its template. */
interface Expansion {
  readonly outline: DocumentOutline;
  readonly problems: readonly LocatedProblem[];
  /** Present where values of the template are in the outline's tree. `placeOf` says where each stands. */
  readonly template?: Template;
  /** False: the template can't be applied, so that the plan lacks what it would give. */
  readonly isWhole: boolean;
}

/** Checks a PlanTemplate by itself: its shape, its parameters, and each value of its plan that needs no parameter. */
export function readTemplate(root: YamlNode): {
  readonly problems: readonly LocatedProblem[];
  readonly content?: TemplateContent;
} {
  const { document, problems } = validate(root);
  const body = valueAt(root, 'spec', 'plan');
  if (document?.kind !== 'PlanTemplate' || body === undefined) return { problems };
  const parameters = new Map(
    Object.entries(document.spec.parameters ?? {}).map(([name, { type }]): [string, Parameter] => {
      const fallback = valueAt(root, 'spec', 'parameters', name, 'default');
      return [name, fallback === undefined ? { type } : { type, fallback }];
    }),
  );
  const faults = [
    ...[...parameters].flatMap(([name, { type, fallback }]) =>
      fallback === undefined ? [] : faultOfValue(name, type, fallback),
    ),
    ...nestedTemplate(body),
    ...tooLarge(body),
    ...faultsOfTexts(body, [...parameters.keys()]),
  ];
  if (faults.length > 0) return { problems: faults };
  const found = faultsOfBody(body, parameters);
  return found.length > 0 ? { problems: found } : { problems: [], content: { body, parameters } };
}

/** The plan of a document, merged with the template that it names. A document that names none is returned as it is. */
export function expand(outline: DocumentOutline, own: SourceFile, index: TemplateIndex): Expansion {
  const { document, kind } = outline;
  const spec = valueAt(document.root, 'spec');
  const use = kind === 'BackupPlan' ? entryOf(spec, 'template') : undefined;
  if (use === undefined || spec === undefined) return { outline, problems: [], isWhole: true };
  const { template, problems } = lookUp(use, index);
  const content = template?.content;
  if (template === undefined || content === undefined) return { outline, problems, isWhole: false };
  const by = own.text.length + 1;
  const { values, faults } = valuesFor(use, template.name, content, by);
  if (faults.length > 0) return { outline, problems: faults, isWhole: false };
  const filled = fill(content.body, { values, by });
  const root = withSpec(document.root, merged(filled, spec));
  return { outline: outlineOf({ ...document, root }), problems: [], template, isWhole: true };
}

/** The faults of a plan whose template can't be applied: all but those that the template might mend. */
export function faultsOfPart(root: YamlNode): readonly LocatedProblem[] {
  const use = entryOf(valueAt(root, 'spec'), 'template');
  const problems = validate(root).problems;
  return problems.filter(
    ({ problem, span }) =>
      !OF_THE_WHOLE.includes(problem.code) ||
      (use !== undefined && isWithin(span, { start: use.keySpan.start, end: use.value.span.end })),
  );
}

/** The file in which a span of an expanded plan stands, and where there. Spans of the template follow the end of the plan's own file. */
export function placeOf(
  span: Span,
  own: SourceFile,
  template: Template | undefined,
): { readonly source: SourceFile; readonly span: Span } {
  const by = own.text.length + 1;
  if (template === undefined || span.start < by) return { source: own, span };
  return { source: template.source, span: { start: span.start - by, end: span.end - by } };
}

function lookUp(
  use: YamlEntry,
  { templates, complete }: TemplateIndex,
): { readonly template?: Template; readonly problems: readonly LocatedProblem[] } {
  const node = valueAt(use.value, 'name');
  const name = textOf(node);
  // The schema reports a name that is missing, or no text.
  if (name === undefined || node === undefined) return { problems: [] };
  const named = templates.filter((each) => each.name === name);
  const template = named.find(({ source }) => source.role !== 'context') ?? named[0];
  if (template?.content !== undefined) return { template, problems: [] };
  if (template?.source.role === 'context') {
    const { problem } = refused(
      'BROKEN_TEMPLATE',
      `The template ${quoted(name)} in ${template.source.path} has errors`,
      `See them with \`holdfast validate ${template.source.path}\`.`,
    );
    return { problems: [{ problem, span: node.span }] };
  }
  // Errors of a template that is checked too are reported where it stands.
  if (template !== undefined || !complete) return { problems: [] };
  const names = [...new Set(templates.map((each) => each.name))];
  const known = names.length === 0 ? 'No PlanTemplate document was given' : `Known: ${names.join(', ')}`;
  const { problem } = refused(
    'UNKNOWN_TEMPLATE',
    `No PlanTemplate document has the name ${quoted(name)}`,
    didYouMean(name, names) ?? `${known}. Give the file that has it too.`,
  );
  return { problems: [{ problem, span: node.span }] };
}

/** The value of each parameter for one plan, with its place. Spans of defaults are moved by `by`. */
function valuesFor(
  use: YamlEntry,
  template: string,
  { parameters }: TemplateContent,
  by: number,
): { readonly values: ReadonlyMap<string, YamlNode>; readonly faults: readonly LocatedProblem[] } {
  const given = valueAt(use.value, 'parameters');
  const entries = given?.kind === 'mapping' ? given.entries : [];
  const values = new Map<string, YamlNode>();
  const faults: LocatedProblem[] = [];
  const names = [...parameters.keys()];
  for (const { key, keySpan, value } of entries) {
    const parameter = parameters.get(key);
    if (parameter === undefined) faults.push({ ...unknownParameter(key, names), span: keySpan });
    else {
      faults.push(...faultOfValue(key, parameter.type, value));
      values.set(key, value);
    }
  }
  for (const [name, { fallback }] of parameters) {
    if (values.has(name)) continue;
    if (fallback !== undefined) values.set(name, { ...fallback, span: moved(fallback.span, by) });
    else {
      const { problem } = refused(
        'MISSING_PARAMETER',
        `The template ${quoted(template)} needs a value for its parameter ${quoted(name)}`,
        `Add \`${name}: …\` to \`parameters\`.`,
      );
      faults.push({ problem, span: valueAt(use.value, 'name')?.span ?? use.keySpan });
    }
  }
  return { values, faults };
}

function faultOfValue(name: string, type: Parameter['type'], node: YamlNode): readonly LocatedProblem[] {
  // The schema reports what is no single value.
  if (node.kind !== 'scalar' || node.value === null) return [];
  if (typeof node.value === 'string' && node.value.length > LONGEST_VALUE) {
    const { problem } = refused(
      'WRONG_VALUE',
      `The value of ${quoted(name)} is longer than ${LONGEST_VALUE} characters`,
      'Shorten it.',
    );
    return [{ problem, span: node.span }];
  }
  if (typeof node.value === type) return [];
  const words = { string: 'text', number: 'a number', boolean: '`true` or `false`' }[type];
  const remedy =
    type === 'string' ? `Put it in quotes: \`"${String(node.value)}"\`.` : `Write ${words}, without quotes.`;
  const message = `The parameter ${quoted(name)} must be ${words}, and this is ${typeInWords(node)}`;
  return [{ ...refused('WRONG_TYPE', message, remedy), span: node.span }];
}

function unknownParameter(name: string, known: readonly string[]) {
  return refused(
    'UNKNOWN_PARAMETER',
    `The template has no parameter ${quoted(name)}`,
    didYouMean(name, known) ??
      (known.length === 0 ? 'It has no parameters.' : `Its parameters: ${known.join(', ')}.`),
  );
}

function nestedTemplate(body: YamlNode): readonly LocatedProblem[] {
  const nested = entryOf(body, 'template');
  if (nested === undefined) return [];
  const { problem } = refused(
    'TEMPLATE_IN_TEMPLATE',
    'A template is not made of another template',
    'Write out here what the other template holds.',
  );
  return [{ problem, span: nested.keySpan }];
}

function tooLarge(body: YamlNode): readonly LocatedProblem[] {
  if (countOf(body) <= VALUES_AT_MOST) return [];
  const { problem } = refused(
    'TOO_COMPLEX',
    `The template holds more than ${VALUES_AT_MOST} values`,
    'Write what only some plans need into these plans.',
  );
  return [{ problem, span: body.span }];
}

function countOf(node: YamlNode): number {
  const below = node.kind === 'list' ? node.items : childrenOf(node);
  return below.reduce((sum, each) => sum + countOf(each), 1);
}

function childrenOf(node: YamlNode): readonly YamlNode[] {
  return node.kind === 'mapping' ? node.entries.map(({ value }) => value) : [];
}

/** Faults of the parameters that the texts of a template name. */
function faultsOfTexts(node: YamlNode, known: readonly string[]): readonly LocatedProblem[] {
  if (node.kind === 'list') return node.items.flatMap((item) => faultsOfTexts(item, known));
  if (node.kind === 'mapping') {
    return node.entries.flatMap(({ key, keySpan, value }) => {
      const below = faultsOfTexts(value, known);
      if (!key.includes('${')) return below;
      const { problem } = refused(
        'UNKNOWN_PARAMETER',
        'A parameter stands in a key, and only values are filled in',
        'Write the key out.',
      );
      return [{ problem, span: keySpan }, ...below];
    });
  }
  const { value, span } = node;
  if (typeof value !== 'string') return [];
  const marks = parametersIn(value);
  if (marks.length > PARAMETERS_IN_A_TEXT) {
    const { problem } = refused(
      'TOO_COMPLEX',
      `A text holds more than ${PARAMETERS_IN_A_TEXT} parameters`,
      'Split it.',
    );
    return [{ problem, span }];
  }
  return marks.flatMap(({ name, isClosed }) => {
    if (!isClosed) {
      const { problem } = refused(
        'UNKNOWN_PARAMETER',
        'A `${` has no `}` after the name of a parameter',
        'Write `${name}`; or `$${` where `${` itself is meant.',
      );
      return [{ problem, span }];
    }
    return known.includes(name) ? [] : [{ ...unknownParameter(name, known), span }];
  });
}

/** Faults of the values of a template, whatever plan is made of it: not what plans may add, nor what waits for a parameter. */
function faultsOfBody(body: YamlNode, parameters: TemplateContent['parameters']): readonly LocatedProblem[] {
  const defaults = [...parameters].flatMap(([name, { fallback }]) =>
    fallback === undefined ? [] : [[name, fallback] as const],
  );
  const holes: Span[] = [];
  const spec = fill(body, { values: new Map(defaults), by: 0, holes });
  const text = (value: string): YamlNode => ({ kind: 'scalar', value, span: body.span, verbatim: false });
  const entry = (key: string, value: YamlNode): YamlEntry => ({ key, keySpan: body.span, value });
  const mapping = (...entries: YamlEntry[]): YamlNode => ({ kind: 'mapping', entries, span: body.span });
  const root = mapping(
    entry('apiVersion', text('holdfast/v1')),
    entry('kind', text('BackupPlan')),
    entry('metadata', mapping(entry('name', text('of-a-template')))),
    entry('spec', spec),
  );
  return validate(root).problems.filter(
    ({ problem, span }) =>
      !OF_THE_WHOLE.includes(problem.code) && !holes.some((hole) => isWithin(span, hole)),
  );
}

function withSpec(root: YamlNode, spec: YamlNode): YamlNode {
  if (root.kind !== 'mapping') return root;
  return {
    ...root,
    entries: root.entries.map((entry) => (entry.key === 'spec' ? { ...entry, value: spec } : entry)),
  };
}
