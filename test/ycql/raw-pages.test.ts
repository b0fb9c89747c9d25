import { createRequire } from 'node:module';
import { connectRawClient, rawPageOf } from '../../engines/ycql/raw-pages.ts';
import { useCassandra } from './stage.ts';
import { createZoo } from './zoo.ts';

const stage = useCassandra();
let tables: readonly string[];

beforeAll(async () => {
  tables = await createZoo(stage.cluster, 'zoo', { seed: 3, rows: 40, dialect: 'cassandra' });
});

/** Pages as a client of this process gives them now, and what it warned of. */
async function pagesOfTables() {
  const warnings: string[] = [];
  const { contactPoints, port, localDataCenter } = stage.cluster;
  const client = await connectRawClient(
    { contactPoints: [...contactPoints], protocolOptions: { port, maxVersion: 4 }, localDataCenter },
    (warning) => warnings.push(warning),
  );
  const pages = [];
  for (const table of tables) {
    const result = await client.execute(`SELECT * FROM zoo."${table}"`, [], { fetchSize: 5_000 });
    const { rows, body } = rawPageOf(result);
    pages.push({ table, rows, body: body.toString('hex') });
  }
  await client.shutdown();
  return { warnings, pages };
}

interface Pushed {
  readonly result?: { readonly rows: { body?: Buffer }[] };
}

/** Every page of the driver comes with a byte too few from now on, as if another version of it had laid them out otherwise. */
function breakPages(): () => void {
  const { Parser } = createRequire(__filename)('cassandra-driver/lib/streams.js');
  const { prototype } = Parser;
  const push = prototype.push;
  prototype.push = function pushBroken(item: Pushed | null) {
    const [page] = item?.result?.rows ?? [];
    if (page?.body !== undefined) page.body = page.body.subarray(1);
    return push.call(this, item);
  };
  return () => Reflect.deleteProperty(prototype, 'push');
}

test('a driver whose pages are not as known is noticed at the start: rows come cell by cell, to the same bytes, with a warning', async () => {
  const usual = await pagesOfTables();
  expect(usual.warnings).toEqual([]);
  expect(usual.pages.reduce((sum, { rows }) => sum + rows, 0)).toBeGreaterThan(100);
  const mend = breakPages();
  try {
    const fallback = await pagesOfTables();
    expect(fallback.warnings).toEqual([expect.stringContaining('rows are read cell by cell')]);
    expect(fallback.pages).toEqual(usual.pages);
  } finally {
    mend();
  }
});
