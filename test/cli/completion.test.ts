import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { COMMANDS } from '../../cli/command-table.ts';
import { holdfast } from '../support/holdfast.ts';

const run = promisify(execFile);
let folder: string;
let script: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-completion-'));
  script = path.join(folder, 'holdfast.bash');
  await writeFile(script, (await holdfast(['completion', 'bash'])).stdout);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What the real bash offers after these words. */
async function offered(...words: readonly string[]): Promise<readonly string[]> {
  const asked = `source "$1"; shift; COMP_WORDS=(holdfast "$@"); COMP_CWORD=$#; _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await run('bash', ['-c', asked, 'bash', script, ...words], { cwd: folder });
  return stdout.split('\n').filter((line) => line !== '');
}

test('bash completes commands, options, choices and files', async () => {
  expect(await offered('')).toEqual(expect.arrayContaining(COMMANDS.map(({ name }) => name)));
  expect(await offered('ver')).toEqual(['verify', 'version']);
  expect(await offered('restore', 'orders', '--ne')).toEqual(['--nearest']);
  expect(await offered('restore', 'orders', '--nearest', '')).toEqual(['exact', 'before']);
  expect(await offered('verify', 'orders', '--level', 'c')).toEqual(['checksums', 'content']);
  expect(await offered('retention', '')).toEqual(['simulate']);
  expect(await offered('completion', 'f')).toEqual(['fish']);
  await writeFile(path.join(folder, 'orders.yaml'), '');
  expect(await offered('validate', 'ord')).toEqual(['orders.yaml']);
});

test('zsh and fish have the same words', async () => {
  const zsh = (await holdfast(['completion', 'zsh'])).stdout;
  expect(zsh).toMatch(/^autoload -U \+X bashcompinit && bashcompinit\n_holdfast\(\)/);
  const fish = (await holdfast(['completion', 'fish'])).stdout;
  for (const { name } of COMMANDS) expect(fish).toContain(`-n __fish_use_subcommand -f -a ${name} `);
  expect(fish).toContain(
    "-n '__fish_seen_subcommand_from verify' -l level -x -a 'exists checksums content restore schema'",
  );
  // An apostrophe within a description ends no string.
  for (const line of fish.trimEnd().split('\n'))
    expect(line.replaceAll(/\\./g, '').split("'").length % 2).toBe(1);
  expect(await holdfast(['completion', 'csh'])).toMatchObject({ code: 2 });
});
