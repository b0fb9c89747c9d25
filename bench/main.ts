import { parseArgs } from 'node:util';

/**
 * `npm run bench -- ysql|ycql|archive [--rounds N] [--scale X] [--json] [--write]`, `npm run bench -- many [--tables N] [--rounds N] [--json]`,
 * `npm run bench -- fleet [--plans N] [--json]`, `npm run bench -- shared-rows [--tables N] [--rounds NIGHTS] [--json]`,
 * `npm run bench -- universe [--part upload|latency|scale] …`
 */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    tables: { type: 'string', default: '500' },
    plans: { type: 'string', default: '1000' },
    scale: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    part: { type: 'string' },
  },
});
const [engine = 'ysql'] = positionals;
if (engine === 'universe') {
  const { benchUniverse, UNIVERSE_PARTS } = await import('./universe.ts');
  const part = UNIVERSE_PARTS.find((each) => each === values.part);
  await benchUniverse({ scale: Number(values.scale), json: values.json, write: values.write, part });
} else if (engine === 'ycql') {
  const { benchYcql } = await import('./ycql.ts');
  const { json, write } = values;
  await benchYcql({ rounds: Number(values.rounds), scale: Number(values.scale), json, write });
} else if (engine === 'archive') {
  const { benchArchive, ARCHIVE_PARTS } = await import('./archive.ts');
  const { json, write } = values;
  const part = ARCHIVE_PARTS.find((each) => each === values.part);
  await benchArchive({ rounds: Number(values.rounds), scale: Number(values.scale), json, write, part });
} else if (engine === 'scale') {
  const { benchScale } = await import('./scale.ts');
  await benchScale({ scale: Number(values.scale), json: values.json });
} else if (engine === 'shared-rows') {
  const { benchSharedRows } = await import('./shared-rows.ts');
  await benchSharedRows({ tables: Number(values.tables), nights: Number(values.rounds), json: values.json });
} else if (engine === 'start') {
  const { benchStart } = await import('./start.ts');
  await benchStart({ rounds: Number(values.rounds), json: values.json });
} else if (engine === 'fleet') {
  const { benchFleet } = await import('./fleet.ts');
  await benchFleet({ plans: Number(values.plans), json: values.json });
} else if (engine === 'many') {
  const { benchMany } = await import('./many.ts');
  const { json } = values;
  await benchMany({ rounds: Number(values.rounds), tables: Number(values.tables), json });
} else if (engine !== 'ysql') {
  process.stderr.write(
    `error: there is no benchmark ${engine}\n  → npm run bench -- ysql|many|ycql|universe|archive|scale|start|fleet [--plans N] [--rounds N] [--scale X] [--tables N] [--json] [--write]\n`,
  );
  process.exitCode = 2;
} else {
  const { benchYsql } = await import('./ysql.ts');
  await benchYsql({
    rounds: Number(values.rounds),
    scale: Number(values.scale),
    json: values.json,
    write: values.write,
  });
}
