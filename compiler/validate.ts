import type { z } from 'zod';
import { closest, didYouMean } from './closest.ts';
import { type LocatedProblem, quoted, refused } from './diagnostic.ts';
import { documentJsonSchema, type JsonSchema } from './json-schema.ts';
import { DOCUMENT_KINDS, type DocumentKind, documentSchemas } from './schema/documents.ts';
import { problemsOf } from './schema-issues.ts';
import { typeInWords } from './wording.ts';
import { entryOf, plainData, spanOfNode, textOf, type YamlNode } from './yaml-tree.ts';

type ValidDocument = z.output<(typeof documentSchemas)[DocumentKind]>;

/** A valid document as data, or all faults of its shape and values. */
export type Validation =
  | { readonly document: ValidDocument; readonly problems: readonly [] }
  | { readonly document?: never; readonly problems: readonly LocatedProblem[] };

/** Checks one document against the schema. Each problem points to the text to change. */
export function validate(root: YamlNode): Validation {
  const kind = kindOf(root);
  if (typeof kind !== 'string') return { problems: [kind] };
  // `jitless`: zod would otherwise generate code for a schema, which costs more than it saves, both for one plan and for 1,000.
  const result = documentSchemas[kind].safeParse(plainData(root), { jitless: true });
  if (result.success) return { document: result.data, problems: [] };
  const context = { root, schema: jsonSchemaOf(kind) };
  return { problems: result.error.issues.flatMap((issue) => problemsOf(issue, [], context)) };
}

const jsonSchemas = new Map<DocumentKind, JsonSchema>();

function jsonSchemaOf(kind: DocumentKind): JsonSchema {
  const schema = jsonSchemas.get(kind) ?? documentJsonSchema(kind);
  jsonSchemas.set(kind, schema);
  return schema;
}

function kindOf(root: YamlNode): DocumentKind | LocatedProblem {
  if (root.kind !== 'mapping') {
    return {
      ...refused(
        'WRONG_TYPE',
        `A document must be a mapping of keys to values, and this is ${typeInWords(root)}`,
        'Begin it with `apiVersion: holdfast/v1` and `kind: BackupPlan`.',
      ),
      span: root.span,
    };
  }
  const entry = entryOf(root, 'kind');
  if (entry === undefined) {
    const slip = root.entries.find(({ key }) => closest(key, ['kind']) !== undefined);
    return slip === undefined
      ? {
          ...refused('MISSING_KEY', '`kind` is missing', `Add \`kind: BackupPlan\` or \`kind: Repository\`.`),
          span: spanOfNode(root),
        }
      : {
          ...refused('UNKNOWN_KEY', `${quoted(slip.key)} is not a key of a document`, 'Did you mean `kind`?'),
          span: slip.keySpan,
        };
  }
  const written = textOf(entry.value);
  const known = DOCUMENT_KINDS.find((kind) => kind === written);
  if (known !== undefined) return known;
  return {
    ...refused(
      'UNKNOWN_KIND',
      written === undefined ? '`kind` must be text' : `There is no kind ${quoted(written)}`,
      didYouMean(written ?? '', DOCUMENT_KINDS) ??
        `Write ${DOCUMENT_KINDS.map((kind) => `\`${kind}\``).join(' or ')}.`,
    ),
    span: entry.value.span.end > entry.value.span.start ? entry.value.span : entry.keySpan,
  };
}
