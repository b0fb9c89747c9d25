import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import * as workflows from '../../workflows/index.ts';
import type { WorkflowsByName } from '../../workflows/messages.ts';
import { circles, type Import, importsOf, readSources, refusals } from './imports.ts';
import { LAYERS } from './layers.ts';

const sources = readSources();
const imports = [...sources].flatMap(([path, text]) => importsOf(path, text));

/** The checkout with one more line in one of its files, in memory. */
function withLine(path: string, line: string): readonly Import[] {
  const text = sources.get(path);
  if (text === undefined) throw new Error(`${path} is not there; name another file of its layer`);
  return [...imports.filter(({ from }) => from !== path), ...importsOf(path, `${text}\n${line}`)];
}

test('a layer imports only what the list of layers allows', () => {
  expect(sources.size).toBeGreaterThan(400);
  expect(refusals(imports)).toEqual([]);
});

test('no files import each other in a circle', () => {
  expect(circles(imports)).toEqual([]);
});

describe('what is forbidden is refused', () => {
  const forbidden: readonly (readonly [path: string, line: string, to: string])[] = [
    ['workflows/backup.ts', "import '../engines/ysql/server/session.ts'", 'engines/ysql/server/session.ts'],
    [
      'workflows/backup.ts',
      "import type { S } from '../engines/ysql/server/session.ts'",
      'engines/ysql/server/session.ts',
    ],
    ['workflows/backup.ts', "import '../activities/pins.ts'", 'activities/pins.ts'],
    ['workflows/backup.ts', "import '../compiler/compile.ts'", 'compiler/compile.ts'],
    ['workflows/backup.ts', "import 'node:fs'", 'node:*'],
    [
      'repository/backups/manifest.ts',
      "export * from '../../compiler/canonical-json.ts'",
      'compiler/canonical-json.ts',
    ],
    ['repository/backups/manifest.ts', "import '@temporalio/common'", '@temporalio/common'],
    ['worker/main.ts', "import '../compiler/compile.ts'", 'compiler/compile.ts'],
    ['worker/main.ts', "await import('../repository/open.ts')", 'repository/open.ts'],
    ['worker/main.ts', "import '../cli/main.ts'", 'cli/main.ts'],
    ['model/backup.ts', "type D = import('../compiler/diagnostic.ts').Diagnostic", 'compiler/diagnostic.ts'],
    ['model/backup.ts', "import { createHash } from 'node:crypto'", 'node:*'],
    ['compiler/compile.ts', "import 'node:fs/promises'", 'node:*'],
    ['compiler/compile.ts', "import '../planning/retention.ts'", 'planning/retention.ts'],
    ['planning/retention.ts', "import '@temporalio/workflow'", '@temporalio/workflow'],
    ['engines/ysql/server/session.ts', "import '@temporalio/activity'", '@temporalio/activity'],
    ['engines/ysql/server/session.ts', "import '../../../activities/pins.ts'", 'activities/pins.ts'],
    ['activities/pins.ts', "import '../workflows/backup.ts'", 'workflows/backup.ts'],
    ['library/index.ts', "import '../cli/output.ts'", 'cli/output.ts'],
    ['library/runs.ts', "import 'commander'", 'commander'],
    ['parts/ports.ts', "import '../repository/open.ts'", 'repository/open.ts'],
    ['bootstrap/lock.mjs', "import '../model/errors.ts'", 'model/errors.ts'],
    ['cli/main.ts', "import '../test/support/scratch.ts'", 'test/support/scratch.ts'],
  ];

  test.each(forbidden)('%s with %s', (path, line, to) => {
    expect(refusals(withLine(path, line))).toEqual([expect.stringContaining(`${path} imports ${to}`)]);
  });

  test('a circle, even of types alone', () => {
    const line = "import type { Pipeline } from './pipeline.ts'";
    const found = circles(withLine('model/source.ts', line));
    expect(found).toContainEqual(['model/source.ts', 'model/pipeline.ts', 'model/source.ts']);
  });
});

test('ARCHITECTURE.md shows the list as it is', () => {
  const page = readFileSync(resolve(__dirname, '../../ARCHITECTURE.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `(\w+)\/` \|.*\| (.*) \|$/gm)];
  const shown = rows.flatMap(([, layer = '', cell = '']) => {
    const names = cell === 'nothing' ? [] : cell.split(', ').map((name) => name.replaceAll('`', ''));
    return layer in LAYERS ? [[layer, names.sort()]] : [];
  });
  const listed = Object.entries(LAYERS).map(([layer, { imports: places }]) => [
    layer,
    places.filter((place) => place !== 'package.json').sort(),
  ]);
  expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(listed));
});

test('a workflow that is started by its name has the type that its parents count on', () => {
  const byName: WorkflowsByName = workflows;
  expect([typeof byName.backup, typeof byName.restore]).toEqual(['function', 'function']);
});
