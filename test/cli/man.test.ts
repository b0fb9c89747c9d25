import { spawnSync } from 'node:child_process';
import { Command } from 'commander';
import { COMMANDS } from '../../cli/command-table.ts';
import { manPage } from '../../cli/man-page.ts';
import { holdfast } from '../support/holdfast.ts';

let page: string;
let rendered: string;
let complaints: string;

beforeAll(async () => {
  const { code, stdout } = await holdfast(['man']);
  expect(code).toBe(0);
  page = stdout;
  // -ww: every warning; without line breaks of words, so that what is looked for stands on one line.
  const told = spawnSync('groff', ['-man', '-Tutf8', '-ww', '-rLL=200n', '-rHY=0', '-P-cbou'], {
    input: page,
    encoding: 'utf8',
  });
  if (told.error) throw told.error;
  rendered = told.stdout.replaceAll(/\s+/g, ' ').replaceAll(/[‐−]/g, '-');
  complaints = told.stderr;
});

test('groff has nothing to complain of', () => {
  expect(complaints).toBe('');
  expect(rendered).toContain('NAME holdfast - Declarative, durable backup and restore');
});

test('every command, operand and option of the one definition is in it, with its words', async () => {
  const all = new Command('holdfast');
  for (const { load } of COMMANDS) (await load())(all);
  const plain = (text: string) => text.replaceAll(/\s+/g, ' ').replaceAll('…', '...');
  const told = (command: Command): readonly string[] => [
    plain(command.description()).slice(1),
    ...command.options.flatMap(({ flags, description }) => [flags, plain(description).slice(1)]),
    ...command.commands.flatMap(told),
  ];
  const missing = all.commands.flatMap(told).filter((text) => !rendered.includes(text));
  expect(missing).toEqual([]);
  expect(all.commands.length).toBeGreaterThan(25);
});

test('what roff would take for a request stays text', () => {
  const program = new Command('holdfast').description('x');
  program.command('odd').description("'quoted' \\fB and .dots").option('--dot', '.hidden file – here');
  const text = manPage(program, '1.0.0');
  expect(text).toContain("\n\\&'quoted' \\efB and .dots.\n");
  expect(text).toContain('\n\\&.hidden file \\(en here.\n');
});
