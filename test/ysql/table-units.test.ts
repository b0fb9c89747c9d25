import type { PostDataBatch } from '../../engines/ysql/restore/post-data-unit.ts';
import { tableUnits } from '../../engines/ysql/restore/table-units.ts';
import type { DataObject } from '../../model/backup.ts';

type Waves = Parameters<typeof tableUnits>[0];

const of = (...tables: readonly (string | undefined)[]): PostDataBatch =>
  tables.map((table) => ({
    database: {
      manifest: { name: 'shop' },
      routes: new Map([['public.routed', { schema: 'public', table: 'root' }]]),
    },
    id: String(table),
    ...(table === undefined ? {} : { table: `public.${table}` }),
    entries: [],
    lockTables: [],
  })) as unknown as PostDataBatch;

const task = (...tables: readonly string[]): readonly DataObject[] =>
  tables.map((table) => ({
    table: { database: 'shop', schema: 'public', table },
  })) as unknown as DataObject[];

test("a table's units follow its last task, and its indexes its keys", () => {
  const waves: Waves = [[of('orders'), of('events')], [of('orders'), of('orders')], [of(undefined)]];
  expect(tableUnits(waves, [task('orders'), task('orders', 'events')])).toEqual([
    { wave: 0, unit: 0, afterTasks: 2, afterUnits: [] },
    { wave: 0, unit: 1, afterTasks: 2, afterUnits: [] },
    { wave: 1, unit: 0, afterTasks: 2, afterUnits: [0] },
    { wave: 1, unit: 1, afterTasks: 2, afterUnits: [0] },
  ]);
});

test('a batch waits for all of its tables, and what comes after it waits as long', () => {
  const waves: Waves = [[of('orders', 'events'), of('parent')], [of('orders')]];
  expect(tableUnits(waves, [task('orders'), task('events'), task('others')])).toEqual([
    { wave: 0, unit: 0, afterTasks: 2, afterUnits: [] },
    // Without rows it may be a parent of those that are being loaded.
    { wave: 0, unit: 1, afterTasks: 3, afterUnits: [] },
    { wave: 1, unit: 0, afterTasks: 2, afterUnits: [0] },
  ]);
});

test('a partition that is loaded through its parent waits for all rows', () => {
  const waves: Waves = [[of('routed'), of('orders')]];
  expect(tableUnits(waves, [task('routed'), task('orders'), task('others')])).toMatchObject([
    { unit: 0, afterTasks: 3 },
    { unit: 1, afterTasks: 2 },
  ]);
});

test('a table of the same name in another database is another table', () => {
  const other = { table: { database: 'other', schema: 'public', table: 'orders' } } as DataObject;
  const waves: Waves = [[of('orders')]];
  expect(tableUnits(waves, [task('orders'), [other]])).toEqual([
    { wave: 0, unit: 0, afterTasks: 1, afterUnits: [] },
  ]);
});
