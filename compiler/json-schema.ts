import { z } from 'zod';
import { anyDocument, type DocumentKind, documentSchemas } from './schema/documents.ts';

/** The part of JSON Schema that the plan language's schema uses. */
export interface JsonSchema {
  readonly $schema?: string;
  readonly $id?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: string;
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
}

/** The JSON Schema of a plan file's documents, for editors; plans name it in their `yaml-language-server` line. */
export function planJsonSchema(): JsonSchema {
  const { $schema, ...schema } = toJsonSchema(anyDocument);
  return { ...($schema === undefined ? {} : { $schema }), title: 'Holdfast plan file', ...schema };
}

/** The JSON Schema of one kind of document. */
export function documentJsonSchema(kind: DocumentKind): JsonSchema {
  return toJsonSchema(documentSchemas[kind]);
}

function toJsonSchema(schema: z.ZodType): JsonSchema {
  const { '~standard': _, ...plain } = z.toJSONSchema(schema, {
    // The schema of what a person writes (`5m`), not of what the reader turns it into (300000).
    io: 'input',
    // Where a reader changes a value, the library takes examples for results and drops them. Ours are what a person writes.
    override: ({ zodSchema, jsonSchema }) => {
      const examples = z.globalRegistry.get(zodSchema)?.examples;
      if (Array.isArray(examples)) jsonSchema.examples = examples;
    },
  });
  return plain as JsonSchema;
}

/** The schemas that may hold under a path of keys and list positions: several where the language has a choice. */
export function schemasAt(root: JsonSchema, path: readonly (string | number)[]): readonly JsonSchema[] {
  return path.reduce<readonly JsonSchema[]>(
    (schemas, part) =>
      schemas.flatMap((schema) => {
        const below = schemaBelow(schema, part);
        return below === undefined ? [] : alternatives(below);
      }),
    alternatives(root),
  );
}

function schemaBelow(schema: JsonSchema, part: string | number): JsonSchema | undefined {
  if (typeof part === 'number') return schema.items;
  const { additionalProperties: others } = schema;
  return schema.properties?.[part] ?? (typeof others === 'object' ? others : undefined);
}

/** The alternatives of a schema, or the schema itself. A `oneOf` that only lists required keys is not an alternative. */
export function alternatives(schema: JsonSchema): readonly JsonSchema[] {
  const choices = schema.anyOf ?? (schema.properties === undefined ? schema.oneOf : undefined);
  return choices === undefined ? [schema] : choices.flatMap(alternatives);
}
