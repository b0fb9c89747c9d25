import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { COMMANDS } from '../../cli/command-table.ts';
import { startHoldfast } from '../support/holdfast.ts';

/**
 * What a command loads before it runs. `--version` and `--help` are typed often, so neither loads a package but the one that reads the command
 * line. How long they take, as a ratio to bare Node, is in docs/benchmarks.md.
 */
const ROOT = path.resolve(__dirname, '..', '..');

/** Packages that a file loads when it is imported, through all files that it imports; types and `import()` load nothing. */
function packagesOf(file: string, seen = new Set<string>()): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  if (seen.has(file)) return found;
  seen.add(file);
  const text = readFileSync(path.join(ROOT, file), 'utf8');
  const imports = text.matchAll(/^(?:import|export) (?!type\b)(?:[^;]*? from )?'([^']+)'/gm);
  for (const [, name = ''] of imports) {
    if (name.startsWith('node:')) continue;
    if (!name.startsWith('.')) found.set(name, file);
    else if (name.endsWith('.ts')) {
      const next = path.posix.join(path.posix.dirname(file), name);
      for (const [one, by] of packagesOf(next, seen)) found.set(one, by);
    }
  }
  return found;
}

test('the command line itself loads no package before it knows what is asked', () => {
  expect([...packagesOf('cli/main.ts')]).toEqual([]);
});

test.each(COMMANDS.map(({ name }) => name))('%s is described without a package but commander', (name) => {
  const file = `cli/commands/${name}.ts`;
  const packages = packagesOf(existsSync(path.join(ROOT, file)) ? file : 'cli/commands/messages.ts');
  expect([...packages].filter(([one]) => one !== 'commander')).toEqual([]);
});

test('--help lists every command, one that is not known is told with the one that was meant', async () => {
  const { code, stdout } = await startHoldfast(['--help']).end;
  expect(code).toBe(0);
  for (const { name } of COMMANDS) expect(stdout).toMatch(new RegExp(`^ {2}${name}\\b`, 'm'));
  const wrong = await startHoldfast(['bakcup']).end;
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringMatching(/Did you mean backup/) });
  expect(await startHoldfast(['--version']).end).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
  });
});
