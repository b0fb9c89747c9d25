import { z } from 'zod';
import { defined } from '../model/defined.ts';
import { DOCUMENT_KINDS, type DocumentKind, documentSchemas } from './schema/documents.ts';

/** The part of JSON Schema that the plan language's schema uses. */
export interface JsonSchema {
  readonly $schema?: string;
  readonly $id?: string;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
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
  readonly propertyNames?: JsonSchema;
  readonly allOf?: readonly JsonSchema[];
  readonly if?: JsonSchema;
  readonly then?: JsonSchema;
  readonly else?: JsonSchema;
}

/**
 * The JSON Schema of a plan file's documents, for editors; plans name it in the `yaml-language-server` line of each document. It branches
 * with `if` and `then`: on the kind, and within a document on the keys that exist. So one mistake is one error in its own place. With
 * `oneOf`, editors would report every branch, or the first.
 */
export function planJsonSchema(): JsonSchema {
  const plan = branching(documentJsonSchema('BackupPlan'));
  const spec = plan.properties?.spec ?? {};
  const kinds: Readonly<Record<DocumentKind, JsonSchema>> = {
    Repository: branching(documentJsonSchema('Repository')),
    BackupPlan: withSpec(plan, ofTemplateOrWhole(spec)),
    PlanTemplate: templateJsonSchema(),
  };
  return {
    ...defined({ $schema: plan.$schema }),
    title: 'Holdfast plan file',
    description:
      'A document of a plan file: a BackupPlan, a Repository that plans write to, or a PlanTemplate that plans are made of.',
    $defs: { [PART_OF_A_PLAN]: partOf(spec) },
    type: 'object',
    required: ['apiVersion', 'kind'],
    properties: {
      apiVersion: {
        title: 'apiVersion',
        description: 'Version of the plan language.',
        const: 'holdfast/v1',
        examples: ['holdfast/v1'],
      },
      kind: {
        title: 'kind',
        description: 'What the document describes.',
        enum: DOCUMENT_KINDS,
        examples: ['BackupPlan'],
      },
    },
    allOf: DOCUMENT_KINDS.map((kind) => {
      const { $schema: _, ...then } = kinds[kind];
      return { if: { properties: { kind: { const: kind } }, required: ['kind'] }, then };
    }),
  };
}

const PART_OF_A_PLAN = 'partOfAPlan';
const A_PART: JsonSchema = { $ref: `#/$defs/${PART_OF_A_PLAN}` };

/** A plan that names a template may lack what the template gives. */
function ofTemplateOrWhole({ title, description, examples, ...whole }: JsonSchema): JsonSchema {
  return {
    ...defined({ title, description, examples }),
    if: { required: ['template'] },
    // biome-ignore lint/suspicious/noThenProperty: a key of JSON Schema
    then: A_PART,
    else: whole,
  };
}

function templateJsonSchema(): JsonSchema {
  const document = branching(documentJsonSchema('PlanTemplate'));
  const spec = document.properties?.spec ?? {};
  const { title, description, examples } = spec.properties?.plan ?? {};
  const plan = { ...defined({ title, description, examples }), allOf: [A_PART] };
  return withSpec(document, { ...spec, properties: { ...spec.properties, plan } });
}

function withSpec(document: JsonSchema, spec: JsonSchema): JsonSchema {
  return { ...document, properties: { ...document.properties, spec } };
}

/**
 * The schema of a part of what `schema` describes, with parameters in its texts: no key is required, and a text with `${` may stand in
 * place of any single value.
 */
function partOf(schema: JsonSchema): JsonSchema {
  const { properties, items, additionalProperties, anyOf } = schema;
  if (properties !== undefined) {
    const { if: _condition, then: _demands, ...mapping } = schema;
    return { ...mapping, properties: mapValues(properties, partOf) };
  }
  if (schema.if !== undefined) {
    // biome-ignore lint/suspicious/noThenProperty: a key of JSON Schema
    return { ...schema, then: partOf(schema.then ?? {}), else: partOf(schema.else ?? {}) };
  }
  if (items !== undefined) return { ...schema, items: partOf(items) };
  if (anyOf !== undefined) return { ...schema, anyOf: anyOf.map(partOf) };
  if (typeof additionalProperties === 'object') {
    return { ...schema, additionalProperties: partOf(additionalProperties) };
  }
  const { title, description, examples, default: fallback, ...value } = schema;
  return {
    ...defined({ title, description, examples, default: fallback }),
    if: { type: 'string', pattern: '\\$\\{' },
    // biome-ignore lint/suspicious/noThenProperty: a key of JSON Schema
    then: {},
    else: value,
  };
}

function mapValues(
  schemas: Readonly<Record<string, JsonSchema>>,
  change: (schema: JsonSchema) => JsonSchema,
): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(Object.entries(schemas).map(([key, value]) => [key, change(value)]));
}

/** The JSON Schema of one kind of document. */
export function documentJsonSchema(kind: DocumentKind): JsonSchema {
  return toJsonSchema(documentSchemas[kind]);
}

function toJsonSchema(schema: z.ZodType): JsonSchema {
  const { '~standard': _, ...plain } = z.toJSONSchema(schema, {
    // The schema of what a person writes (`5m`), not of the value that it becomes (300000).
    io: 'input',
    // Where a reader changes a value, the library takes examples for results and drops them. Our examples show what a person writes.
    override: ({ zodSchema, jsonSchema }) => {
      const examples = z.globalRegistry.get(zodSchema)?.examples;
      if (Array.isArray(examples)) jsonSchema.examples = examples;
    },
  });
  return plain as JsonSchema;
}

/** The schemas that may apply under a path of keys and list indexes: several where the language has a choice. */
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

/**
 * A schema in a form that editors report well. Every property has its key as its title. A choice between texts and mappings is decided by
 * what is written. In a mapping with an unknown key, only that key is reported and no missing key: most often one was meant for the other.
 */
function branching(schema: JsonSchema): JsonSchema {
  const { properties, items, additionalProperties, anyOf, oneOf, required, ...rest } = schema;
  if (properties === undefined) {
    return {
      ...rest,
      ...(items === undefined ? {} : { items: branching(items) }),
      ...(typeof additionalProperties === 'object'
        ? { additionalProperties: branching(additionalProperties) }
        : defined({ additionalProperties })),
      ...choiceOf(anyOf ?? oneOf),
    };
  }
  const titled = Object.entries(properties).map(
    ([key, value]) => [key, { title: key, ...branching(value) }] as const,
  );
  const demands = defined({ required, oneOf });
  return {
    ...rest,
    properties: Object.fromEntries(titled),
    ...defined({ additionalProperties }),
    ...(Object.keys(demands).length === 0
      ? {}
      : {
          if: { propertyNames: { enum: Object.keys(properties) } },
          // biome-ignore lint/suspicious/noThenProperty: a key of JSON Schema
          then: demands,
        }),
  };
}

/** A choice of texts and mappings. A mapping is checked against the alternative that has its first key. */
function choiceOf(choices: readonly JsonSchema[] | undefined): JsonSchema {
  if (choices === undefined) return {};
  const all = choices.flatMap(alternatives).map(branching);
  const mappings = all.filter(({ type }) => type === 'object');
  const others = all.filter(({ type }) => type !== 'object');
  const [only] = mappings;
  if (only === undefined) return { anyOf: others };
  const otherwise = others.length === 0 ? {} : others.length === 1 ? (others[0] ?? {}) : { anyOf: others };
  return {
    if: { type: 'object' },
    // biome-ignore lint/suspicious/noThenProperty: a key of JSON Schema
    then: mappings.length === 1 ? only : { anyOf: mappings },
    else: otherwise,
  };
}
