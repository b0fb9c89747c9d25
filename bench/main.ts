import { parseArgs } from 'node:util';
import { benchYsql } from './ysql.ts';

/** `npm run bench -- ysql [--rounds N] [--rows-scale X] [--json] [--write]` */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const [engine = 'ysql'] = positionals;
if (engine !== 'ysql') {
  process.stderr.write(
    `error: there is no benchmark ${engine}\n  → npm run bench -- ysql [--rounds N] [--scale X] [--json] [--write]\n`,
  );
  process.exitCode = 2;
} else {
  await benchYsql({
    rounds: Number(values.rounds),
    scale: Number(values.scale),
    json: values.json,
    write: values.write,
  });
}
