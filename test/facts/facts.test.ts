import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { CLIENT_LINES } from '../proxy/client-lines.ts';
import { SETTINGS } from '../proxy/dialect.ts';
import { PROGRAM_SETTINGS } from '../proxy/program-dialect.ts';
import { OWN_OPTIONS } from '../proxy/programs/ysql-dump.ts';
import { DEFAULT_SETTINGS, LINE_BEHAVIOUR } from '../proxy/replication/settings.ts';
import { OPERATIONS } from '../universe/simulator/operations.ts';
import {
  FUNCTION_FACTS,
  LINE_FACTS,
  OPERATION_FACTS,
  PAGE_FACTS,
  REPLICATION_LINE_FACTS,
  REPLICATION_SETTING_FACTS,
  SETTING_FACTS,
} from './answers.ts';
import { FACTS, type Fact } from './facts.ts';

/*
 * Nobody has to believe a stand-in: whatever it answers names the fact that the answer rests on, and this finds what names none.
 */

const TEST = path.join(import.meta.dirname, '..');
const PAGE = path.join(TEST, '../docs/yugabytedb.md');

const facts: Readonly<Record<string, Fact>> = FACTS;

async function sources(folder: string): Promise<readonly { readonly file: string; readonly text: string }[]> {
  const files = (await readdir(path.join(TEST, folder))).filter(
    (file) => file.endsWith('.ts') && !file.endsWith('.test.ts'),
  );
  return await Promise.all(
    files.map(async (file) => ({ file, text: await readFile(path.join(TEST, folder, file), 'utf8') })),
  );
}

/** Names of `all` that `table` has no fact for. */
const without = (all: Iterable<string>, table: Readonly<Record<string, string>>): readonly string[] =>
  [...all].filter((name) => facts[table[name] ?? ''] === undefined);

test('every fact says from where it is known', () => {
  for (const [id, { says, from }] of Object.entries(facts)) {
    expect([id, says.length > 20, from.length > 3]).toEqual([id, true, true]);
  }
});

test('what differs between the client lines', () => {
  const fields = Object.keys(CLIENT_LINES['2025.2']).filter((field) => field !== 'name');
  expect(without(fields, LINE_FACTS)).toEqual([]);
});

test('what differs between the lines in logical replication, and its flags', () => {
  expect(without(Object.keys(LINE_BEHAVIOUR['2025.2']), REPLICATION_LINE_FACTS)).toEqual([]);
  expect(without(Object.keys(DEFAULT_SETTINGS), REPLICATION_SETTING_FACTS)).toEqual([]);
});

test('functions that the proxy installs or translates', async () => {
  const texts = [...(await sources('proxy')), ...(await sources('proxy/replication'))];
  const installed = texts.flatMap(({ text }) =>
    [...text.matchAll(/CREATE OR REPLACE FUNCTION pg_catalog\.(\w+)/g)].map(([, name = '']) => name),
  );
  const translated = texts.flatMap(({ text }) =>
    [...text.matchAll(/token\.text === '(yb_\w+|version)'/g)].map(([, name = '']) => name),
  );
  expect(installed.length + translated.length).toBeGreaterThan(5);
  expect(without([...installed, ...translated], FUNCTION_FACTS)).toEqual([]);
});

test('settings that the proxy knows', () => {
  const ofPrograms = new Map(PROGRAM_SETTINGS.map(({ name, fact }) => [name, fact]));
  const names = Object.keys(SETTINGS);
  expect(names.length).toBeGreaterThan(3);
  expect(
    without(
      names.filter((name) => !ofPrograms.has(name)),
      SETTING_FACTS,
    ),
  ).toEqual([]);
  expect(PROGRAM_SETTINGS.filter(({ fact }) => facts[fact] === undefined)).toEqual([]);
});

test('what the client programs answer by themselves, and what they reword', async () => {
  const texts = await sources('proxy/programs');
  const answers = texts.flatMap(({ file, text }) =>
    [...text.matchAll(/new Answer\(\s*([^,]+),/g)].map(([, first = '']) => ({ file, first: first.trim() })),
  );
  expect(answers.length).toBeGreaterThan(5);
  expect(answers.filter(({ first }) => facts[first.slice(1, -1)] === undefined)).toEqual([]);
  // Nothing is said but by an Answer or by the program behind it.
  expect(
    texts.filter(({ text }) => /process\.std(out|err)|console\./.test(text)).map(({ file }) => file),
  ).toEqual([]);
  expect(Object.values(OWN_OPTIONS).filter(({ fact }) => facts[fact] === undefined)).toEqual([]);
});

test('operations and pages of the simulated universe', async () => {
  expect(without(OPERATIONS.keys(), OPERATION_FACTS)).toEqual([]);
  const nodes = await readFile(path.join(TEST, 'universe/simulator/nodes.ts'), 'utf8');
  const pages = [...nodes.matchAll(/'(\/[a-z][\w/-]+)'(?::| \?)/g)].map(([, page = '']) => page);
  expect(pages.length).toBeGreaterThan(2);
  expect(without(pages, PAGE_FACTS)).toEqual([]);
});

test('each mismatch that was found with the real programs has its row in docs/yugabytedb.md, with its test', async () => {
  const page = await readFile(PAGE, 'utf8');
  const wanted = [
    ...Array.from({ length: 12 }, (_, index) => `M${index + 1}`),
    ...Array.from({ length: 21 }, (_, index) => `R${index + 1}`),
  ];
  const rows = new Map(
    [...page.matchAll(/^\| ([MR]\d+) \|(.*)\|(.*)\|$/gm)].map(([, id = '', effect = '', tested = '']) => [
      id,
      { effect: effect.trim(), tested: tested.trim() },
    ]),
  );
  expect(wanted.filter((id) => !rows.has(id))).toEqual([]);
  expect([...rows].filter(([, { effect, tested }]) => effect === '' || tested === '')).toEqual([]);
  const files = [...page.matchAll(/`(test\/[\w/.-]+\.test\.ts)`/g)].map(([, file = '']) => file);
  expect(files.length).toBeGreaterThan(10);
  for (const file of new Set(files)) {
    await expect(readFile(path.join(TEST, '..', file), 'utf8').then(() => file)).resolves.toBe(file);
  }
});

test('the page lists every fact that nobody has seen on a real server, with the command that would show it', async () => {
  const page = await readFile(PAGE, 'utf8');
  const section = page.split('## Not confirmed on a real cluster')[1]?.split('\n## ')[0] ?? '';
  const unconfirmed = Object.entries(facts)
    .filter(([, { known }]) => known !== 'run')
    .map(([id]) => id);
  expect(unconfirmed.filter((id) => !section.includes(`\`${id}\``))).toEqual([]);
});
