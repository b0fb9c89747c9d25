import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { planTemplate, SCHEMA_FILE } from '../../cli/plan-template.ts';
import { planJsonSchema } from '../../compiler/json-schema.ts';
import { LanguageServer, type Position } from '../support/language-server.ts';

/** The plan language as an editor shows it, by the language server that VS Code, Neovim and others use. */
const PLANS = path.resolve(__dirname, '..', '..', 'plans');

let folder: string;
let server: LanguageServer;
let opened = 0;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-editor-'));
  await writeFile(path.join(folder, SCHEMA_FILE), JSON.stringify(planJsonSchema()));
  server = await LanguageServer.start(folder);
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const TEMPLATE = planTemplate({
  name: 'orders',
  connectionEnv: 'ORDERS_DATABASE_URL',
  directory: '/mnt/backups',
});

const open = async (text: string) => {
  const file = path.join(folder, `plan-${++opened}.yaml`);
  return { file, diagnostics: await server.open(file, text) };
};

function placeOf(text: string, words: string, offset = 0): Position {
  const at = text.indexOf(words);
  if (at < 0) throw new Error(`the text has no ${words}`);
  const before = text.slice(0, at + offset).split('\n');
  return { line: before.length - 1, character: before.at(-1)?.length ?? 0 };
}

test('what init writes, and every plan of plans/, has no error', async () => {
  expect(await open(TEMPLATE)).toMatchObject({ diagnostics: [] });
  for (const name of (await readdir(PLANS)).filter((each) => each.endsWith('.yaml'))) {
    expect([name, (await open(await readFile(path.join(PLANS, name), 'utf8'))).diagnostics]).toEqual([
      name,
      [],
    ]);
  }
});

test.each([
  ['keepLast: 3', 'keepLats: 3', 'keepLats'],
  ['parallelism: 2', 'paralelism: 2', 'paralelism'],
  ['connection: {', 'conection: {', 'conection'],
  ['directory: ', 'directroy: ', 'directroy'],
  ['level: checksums', 'levle: checksums', 'levle'],
  ['  repository: orders', '  repositroy: orders', 'repositroy'],
  ['    ysql:', '    ysqll:', 'ysqll'],
])('the slip %s → %s is one error, at its key', async (right, wrong, key) => {
  const text = TEMPLATE.replace(right, wrong);
  const { diagnostics } = await open(text);
  expect(diagnostics.map(({ message }) => message)).toEqual([expect.stringContaining(key)]);
  expect(diagnostics[0]?.range.start).toEqual(placeOf(text, `${key}:`));
});

test.each([
  ['level: checksums', 'level: chekcsums', /exists.*checksums.*content.*restore/s],
  ['kind: BackupPlan', 'kind: BackupPlann', /Repository.*BackupPlan/s],
  ['keepLast: 3', 'keepLast: many', /integer/],
])('the value %s → %s is one error that names what it may be', async (right, wrong, message) => {
  const { diagnostics } = await open(TEMPLATE.replace(right, wrong));
  expect(diagnostics.map((each) => each.message)).toEqual([expect.stringMatching(message)]);
});

const FLEET = `# yaml-language-server: $schema=${SCHEMA_FILE}
apiVersion: holdfast/v1
kind: PlanTemplate
metadata: { name: nightly }
spec:
  parameters:
    days: { type: number }
  plan:
    source: { ysql: { connection: { env: URL } } }
    retention: { keepDaily: "\${days}" }
    steps:
      - snapshot
      - export
      - upload: { parallelism: "\${days}" }
---
# yaml-language-server: $schema=${SCHEMA_FILE}
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: orders }
spec:
  template: { name: nightly, parameters: { days: 7 } }
  repository: main
  source: { ysql: { contents: data } }
`;

test('a template, and a plan that lacks what its template gives, have no error', async () => {
  expect(await open(FLEET)).toMatchObject({ diagnostics: [] });
});

test.each([
  ['retention:', 'retension:', 'retension'],
  ['connection:', 'conection:', 'conection'],
  ['{ parallelism', '{ paralelism', 'paralelism'],
  ['parameters:\n', 'paramters:\n', 'paramters'],
  ['type: number', 'tpye: number', 'tpye'],
  ['contents:', 'contens:', 'contens'],
  ['{ name: nightly, parameters', '{ name: nightly, paramters', 'paramters'],
])('the slip %j → %j in a template or its plan is one error, at its key', async (right, wrong, key) => {
  const text = FLEET.replace(right, wrong);
  const { diagnostics } = await open(text);
  expect(diagnostics.map(({ message }) => message)).toEqual([expect.stringContaining(key)]);
  expect(diagnostics[0]?.range.start).toEqual(placeOf(text, `${key}:`));
});

test('keys are offered by the kind of the document they stand in', async () => {
  const text = TEMPLATE.replace('  repository: orders-backups\n', '  repository: orders-backups\n  \n');
  const { file } = await open(text);
  const offered = await server.complete(file, placeOf(text, '  repository: orders-backups\n  ', 31));
  expect(offered).toEqual(expect.arrayContaining(['schedule', 'drill', 'notify', 'restore']));
  expect(offered).not.toContain('s3');
  const levels = await server.complete(file, placeOf(text, 'level: checksums', 'level: '.length));
  expect(levels).toEqual(expect.arrayContaining(['exists', 'checksums', 'content', 'restore']));
});

test('a key that the pointer rests on says what it means, with an example', async () => {
  const { file } = await open(TEMPLATE);
  expect(await server.hover(file, placeOf(TEMPLATE, 'keepLast', 2))).toMatch(/keepLast.*newest backups/s);
});

test('every property has a title, a description and an example', () => {
  const lacking: string[] = [];
  const walk = (schema: unknown, at: string): void => {
    if (typeof schema !== 'object' || schema === null) return;
    for (const [key, value] of Object.entries(schema)) {
      if (key === 'properties') {
        for (const [name, property] of Object.entries(value as Record<string, object>)) {
          const isTest = Object.keys(property).join() === 'const';
          const has = ['title', 'description', 'examples'].filter((each) => each in property);
          if (!isTest && has.length < 3) lacking.push(`${at}.${name}: ${has.join(', ')}`);
          walk(property, `${at}.${name}`);
        }
      } else if (!['examples', 'default', 'enum'].includes(key)) walk(value, at);
    }
  };
  walk(planJsonSchema(), '');
  expect(lacking).toEqual([]);
});
