import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '..', '..');
const DOOR = 'engines/ysql/server/';

/** What files of a folder import, as `importer → imported`. */
function importsOf(folder: string): readonly (readonly [string, string])[] {
  return globSync(`${folder}**/*.ts`, { cwd: ROOT }).flatMap((file) =>
    [
      ...readFileSync(path.join(ROOT, file), 'utf8').matchAll(/^(?:import|export)\b[^;]*?from '(\.[^']+)'/gm),
    ].map(([, specifier = '']) => [file, path.join(path.dirname(file), specifier)] as const),
  );
}

test('the engine for universes uses of engines/ysql/ what stands behind the door, and nothing else', () => {
  const used = importsOf('engines/universe/').filter(([, to]) => to.startsWith('engines/ysql/'));
  expect(used.length).toBeGreaterThan(30);
  expect(used.filter(([, to]) => !to.startsWith(DOOR))).toEqual([]);
});

test('what stands behind the door knows nothing of how rows are moved, but for the socket that lends their bytes', () => {
  const inside = importsOf(DOOR).filter(([, to]) => to.startsWith('engines/ysql/'));
  expect(inside.length).toBeGreaterThan(30);
  expect(inside.filter(([, to]) => !to.startsWith(DOOR))).toEqual([
    [`${DOOR}session.ts`, 'engines/ysql/lending-socket.ts'],
  ]);
});
