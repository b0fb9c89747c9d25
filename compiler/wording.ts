import type { LocatedProblem, Problem } from './diagnostic.ts';
import { type JsonSchema, schemasAt } from './json-schema.ts';
import { locate, pathInWords, spanOfNode, type YamlNode, type YamlPath } from './yaml-tree.ts';

/** A document and the schema of its values. */
export interface Context {
  readonly root: YamlNode;
  readonly schema: JsonSchema;
}

/** Places a problem at the value under a path, or at a part of it. Where there is no value, places it at the key. */
export function at(path: YamlPath, context: Context, problem: Problem): LocatedProblem {
  const { node, keySpan, depth } = locate(context.root, path);
  if (depth < path.length || node.span.end <= node.span.start) {
    return { problem, span: keySpan ?? spanOfNode(node) };
  }
  if (problem.part !== undefined && node.kind === 'scalar' && node.verbatim) {
    const { start } = node.span;
    return { problem, span: { start: start + problem.part.start, end: start + problem.part.end } };
  }
  return { problem, span: node.kind === 'scalar' ? node.span : (keySpan ?? spanOfNode(node)) };
}

/** A path in words, as a reader of the file needs it: `spec.schedule.cron`, or within a step `upload.retry`. */
export function inWords(path: YamlPath): string {
  const shown = path[1] === 'steps' && path.length > 3 ? path.slice(3) : path;
  if (path[1] === 'steps' && path.length === 3) return 'a step';
  return shown.length === 0 ? 'the document' : `\`${pathInWords(shown)}\``;
}

const TYPES_IN_WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: '`true` or `false`',
  array: 'a list',
  object: 'a mapping',
};

/** The types that some schemas accept, in words. */
export function expectedTypes(schemas: readonly JsonSchema[]): string {
  const types = schemas.flatMap(({ type }) => (type === undefined ? [] : (TYPES_IN_WORDS[type] ?? [])));
  return [...new Set(types)].join(' or ') || 'something else';
}

/** The type of a value, in words. */
export function typeInWords(node: YamlNode): string {
  if (node.kind === 'list') return 'a list';
  if (node.kind === 'mapping') return 'a mapping';
  switch (typeof node.value) {
    case 'string':
      return 'text';
    case 'boolean':
      return `\`${node.value}\``;
    case 'number':
    case 'bigint':
      return 'a number';
    default:
      return 'nothing';
  }
}

/** `Write \`parallelism: 4\`.` from the schema's example for the key. */
export function exampleRemedy(path: YamlPath, context: Context, verb = 'Write'): string {
  const key = path.findLast((part) => typeof part === 'string');
  const [example] = schemasAt(context.schema, path).flatMap((schema) => [
    ...(schema.examples ?? []),
    ...(schema.const === undefined ? [] : [schema.const]),
    ...(schema.enum ?? []),
  ]);
  const direct = directExample(context.schema, path) ?? example;
  if (direct === undefined) return `${verb} a value as docs/plan-language.md describes it.`;
  return typeof path.at(-1) === 'number'
    ? `${verb} \`- ${flow(direct)}\`.`
    : `${verb} \`${key}: ${flow(direct)}\`.`;
}

/** The example of the schema at exactly this path, before its alternatives. */
function directExample(root: JsonSchema, path: YamlPath): unknown {
  const parents = schemasAt(root, path.slice(0, -1));
  const last = path.at(-1);
  return parents
    .map((schema) => (typeof last === 'number' ? schema.items : schema.properties?.[String(last)]))
    .flatMap((schema) => schema?.examples ?? [])[0];
}

/** A value as one line of YAML. */
export function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    return `{ ${Object.entries(value)
      .map(([key, inner]) => `${key}: ${flow(inner)}`)
      .join(', ')} }`;
  }
  if (typeof value !== 'string') return String(value);
  return /^[A-Za-z/][\w./:-]*$|^[0-9]+[A-Za-z]+$/.test(value) && !value.endsWith(':')
    ? value
    : JSON.stringify(value);
}
