import { readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '..', '..');

/** Every file of ours that is loaded with `entry`; imports of types alone load nothing. */
function loadedWith(entry: string, loaded = new Set<string>()): ReadonlySet<string> {
  if (loaded.has(entry)) return loaded;
  loaded.add(entry);
  const text = readFileSync(path.join(ROOT, entry), 'utf8');
  for (const [statement, specifier = ''] of text.matchAll(/^(?:import|export)\b[^;]*?from '(\.[^']+)'/gm)) {
    if (statement.startsWith('import type') || !specifier.endsWith('.ts')) continue;
    loadedWith(path.join(path.dirname(entry), specifier), loaded);
  }
  return loaded;
}

test.each([
  ['engines/ysql/threads/thread.ts', 'engines/ysql/threads/load-objects.ts'],
  ['engines/ycql/threads/thread.ts', 'engines/ycql/threads/load-object.ts'],
])('a thread (%s) has no threads of its own', (entry, part) => {
  const loaded = loadedWith(entry);
  expect([...loaded]).toContain(part);
  expect([...loaded].filter((file) => /thread-pool|threads\/pool|registry/.test(file))).toEqual([]);
});
