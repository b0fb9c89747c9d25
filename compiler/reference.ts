import { alternatives, documentJsonSchema, type JsonSchema, schemasAt } from './json-schema.ts';
import { DOCUMENT_KINDS } from './schema/documents.ts';
import { ARTIFACT_IN_WORDS, VERB_NAMES, VERBS } from './verbs.ts';
import { flow } from './wording.ts';

/** Settings of every verb. The reference lists them only once. */
const SETTINGS = ['retry', 'timeout', 'parallelism'];

/** The reference of the plan language in Markdown: every key with its type, default and meaning, from the schema. */
export function planReference(): string {
  const documents = DOCUMENT_KINDS.map(documentJsonSchema);
  return [...documents.map(documentSection), settingsSection(), verbSection()].join('\n\n');
}

function documentSection(schema: JsonSchema): string {
  return [`### ${schema.title}`, schema.description ?? '', keyTable(rowsBelow(schema, ''))].join('\n\n');
}

function settingsSection(): string {
  const upload = schemasAt(documentJsonSchema('BackupPlan'), ['spec', 'steps', 0, 'upload']);
  const rows = upload.flatMap(({ properties = {} }) =>
    Object.entries(properties)
      .filter(([key]) => SETTINGS.includes(key))
      .flatMap(([key, value]) => [row(key, value, false), ...rowsUnder(value, key)]),
  );
  return [
    '### Settings of every verb',
    'Inside the mapping of each verb. The defaults are those of `upload`; the next table has those of the others.',
    keyTable(rows),
  ].join('\n\n');
}

function keyTable(rows: readonly string[]): string {
  return ['| key | type | default | meaning |', '|---|---|---|---|', ...rows].join('\n');
}

function rowsBelow(schema: JsonSchema, path: string): readonly string[] {
  const required = new Set(schema.required ?? []);
  const isVerb = VERB_NAMES.some((verb) => path.endsWith(`[].${verb}`));
  return Object.entries(schema.properties ?? {})
    .filter(([key]) => !(isVerb && SETTINGS.includes(key)))
    .flatMap(([key, value]) => {
      const name = path === '' ? key : `${path}.${key}`;
      return [row(name, value, required.has(key)), ...rowsUnder(value, name)];
    });
}

function rowsUnder(schema: JsonSchema, name: string): readonly string[] {
  return alternatives(schema).flatMap((choice) => {
    if (isReference(choice)) return [];
    if (choice.items !== undefined) return rowsUnder(choice.items, `${name}[]`);
    return rowsBelow(choice, name);
  });
}

function row(name: string, schema: JsonSchema, required: boolean): string {
  const fallback = schema.default === undefined ? '' : defaultInWords(schema.default);
  const cells = [`\`${name}\``, typeInWords(schema), required ? '**required**' : fallback, meaning(schema)];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function meaning(schema: JsonSchema): string {
  const [example] = schema.examples ?? [];
  const description = schema.description ?? '';
  return example === undefined ? description : `${description} E.g. \`${flow(example)}\``;
}

function defaultInWords(value: unknown): string {
  const isEmpty = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
  return isEmpty ? '' : `\`${flow(value)}\``;
}

function typeInWords(schema: JsonSchema): string {
  const types = alternatives(schema).map((choice) => {
    if (isReference(choice)) return 'reference';
    if (choice.const !== undefined) return `\`${choice.const}\``;
    if (choice.enum !== undefined) return choice.enum.map((value) => `\`${value}\``).join(', ');
    if (choice.items !== undefined) return `list of ${typeInWords(choice.items)}`;
    if (choice.type === 'integer' || choice.type === 'number') return numberInWords(choice);
    return { object: 'mapping', string: 'text', boolean: 'boolean', null: '' }[choice.type ?? ''] ?? '';
  });
  return [...new Set(types)].filter((type) => type !== '').join(' or ');
}

/**
 * True for `{ env: NAME }` or `{ file: PATH }`. The reference explains these once and doesn't repeat their members everywhere.
 */
function isReference({ properties = {} }: JsonSchema): boolean {
  return Object.keys(properties).join() === 'env,file';
}

function numberInWords({ type, minimum, maximum }: JsonSchema): string {
  const word = type === 'integer' ? 'whole number' : 'number';
  return minimum === undefined || maximum === undefined ? word : `${word}, ${minimum} to ${maximum}`;
}

function verbSection(): string {
  const rows = VERB_NAMES.map((verb) => {
    const { consumes, produces, summary, defaults, once } = VERBS[verb];
    const { maximumAttempts, initialInterval, maximumInterval } = defaults.retry;
    return [
      `\`${verb}\``,
      summary + (once ? ' Once in a plan.' : ''),
      consumes.map((artifact) => ARTIFACT_IN_WORDS[artifact]).join(', '),
      produces === undefined ? '' : ARTIFACT_IN_WORDS[produces],
      `${maximumAttempts} tries, ${initialInterval} to ${maximumInterval} apart`,
      defaults.timeout,
      String(defaults.parallelism),
    ];
  });
  return [
    '### Verbs',
    'What each verb takes from the steps before it, what it gives to those after it, and its defaults.',
    [
      '| verb | what it does | takes | gives | retry | timeout | parallelism |',
      '|---|---|---|---|---|---|---|',
      ...rows.map((cells) => `| ${cells.join(' | ')} |`),
    ].join('\n'),
  ].join('\n\n');
}
