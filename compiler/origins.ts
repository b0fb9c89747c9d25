import type { CompiledPlan } from '../model/pipeline.ts';
import { read } from './compile.ts';
import { alternatives, documentJsonSchema, type JsonSchema, schemasAt } from './json-schema.ts';
import { LineIndex, type SourceFile } from './source-text.ts';
import { expand, placeOf } from './templates.ts';
import { entryOf, pathInWords, valueAt, type YamlNode, type YamlPath } from './yaml-tree.ts';

/** Where one value of a plan came from. Field names are those of `explain --json`. */
export interface ValueOrigin {
  /** Path within `spec`: `retention.keepDaily`, `steps[0].upload.parallelism`. */
  readonly field: string;
  /** As it is written, not as it is compiled: `5m`. */
  readonly value: unknown;
  /** `parameter`: a value that a plan gives its template, or its default. `default`: the plan language's own. */
  readonly from: 'plan' | 'template' | 'parameter' | 'default';
  /** Where it stands. Absent for `default`. */
  readonly file?: string;
  /** 1-based. */
  readonly line?: number;
  /** The parameters whose values it is made from. */
  readonly parameters?: readonly string[];
}

/**
 * Where each value of a compiled plan came from, in the order of the plan; defaults of the language follow. Defaults of steps are left
 * out, since each step shows them.
 *
 * @param files those that the plan was compiled from
 */
export function originsOf(
  plan: Pick<CompiledPlan, 'name' | 'file'>,
  files: readonly SourceFile[],
): readonly ValueOrigin[] {
  const { parsed, templates } = read(files);
  const found = parsed.find(
    ({ source, outline }) =>
      source.path === plan.file && outline.kind === 'BackupPlan' && outline.name?.text === plan.name,
  );
  if (found === undefined) return [];
  const { outline, template } = expand(found.outline, found.source, templates);
  const spec = valueAt(outline.document.root, 'spec');
  if (spec?.kind !== 'mapping') return [];
  const lines = new Map<SourceFile, LineIndex>();
  const originOf = (node: YamlNode, path: YamlPath): ValueOrigin => {
    const { source, span } = placeOf(node.span, found.source, template);
    const index = lines.get(source) ?? new LineIndex(source.text);
    lines.set(source, index);
    const parameters = node.kind === 'scalar' ? node.parameters : undefined;
    return {
      field: pathInWords(path),
      value: node.kind === 'scalar' ? node.value : node.kind === 'list' ? [] : {},
      from: parameters !== undefined ? 'parameter' : span.start === node.span.start ? 'plan' : 'template',
      file: source.path,
      line: index.position(span.start).line,
      ...(parameters === undefined ? {} : { parameters }),
    };
  };
  const { entries, span } = spec;
  const written: YamlNode = {
    kind: 'mapping',
    entries: entries.filter(({ key }) => key !== 'template'),
    span,
  };
  const schemas = schemasAt(documentJsonSchema('BackupPlan'), ['spec']);
  return [
    ...leavesOf(written, []).map(({ node, path }) => originOf(node, path)),
    ...defaultsOf(written, schemas, []),
  ];
}

interface Leaf {
  readonly node: YamlNode;
  readonly path: YamlPath;
}

function leavesOf(node: YamlNode, path: YamlPath): readonly Leaf[] {
  const below =
    node.kind === 'mapping'
      ? node.entries.flatMap(({ key, value }) => leavesOf(value, [...path, key]))
      : node.kind === 'list'
        ? node.items.flatMap((item, index) => leavesOf(item, [...path, index]))
        : [];
  return below.length > 0 ? below : [{ node, path }];
}

function defaultsOf(
  node: YamlNode | undefined,
  schemas: readonly JsonSchema[],
  path: readonly string[],
): readonly ValueOrigin[] {
  return schemas.flatMap(({ properties = {} }) =>
    Object.entries(properties).flatMap(([key, schema]): readonly ValueOrigin[] => {
      const place = [...path, key];
      const value = entryOf(node, key)?.value;
      const isMapping = value === undefined ? isEmpty(schema.default) : value.kind === 'mapping';
      if (isMapping) return defaultsOf(value, alternatives(schema), place);
      if (value !== undefined || schema.default === undefined) return [];
      return [{ field: pathInWords(place), value: schema.default, from: 'default' }];
    }),
  );
}

/** The default of a mapping whose members have defaults of their own. */
function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
