/** The proxy as a separate process: `node test/proxy/main.ts --upstream URL --port PORT [--history-retention-ms N] [--line LINE]`. */
import { parseArgs } from 'node:util';
import { defined } from '../../model/defined.ts';
import { CLIENT_LINE_NAMES } from './client-lines.ts';
import { startYsqlProxy } from './proxy.ts';

const { values } = parseArgs({
  options: {
    upstream: { type: 'string' },
    port: { type: 'string', default: '0' },
    'history-retention-ms': { type: 'string', default: '900000' },
    /** One of `CLIENT_LINE_NAMES`; default: the line for the server's version. */
    line: { type: 'string' },
  },
});
if (values.upstream === undefined) {
  process.stderr.write('usage: main.ts --upstream postgresql://USER@HOST:PORT/DATABASE [--port PORT]\n');
  process.exit(2);
}
const line = CLIENT_LINE_NAMES.find((name) => name === values.line);
const proxy = await startYsqlProxy({
  ...defined({ line }),
  beginsAnew: true,
  upstreamUrl: values.upstream,
  port: Number(values.port),
  historyRetentionMs: Number(values['history-retention-ms']),
});
process.stdout.write(`${JSON.stringify({ port: proxy.port })}\n`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void proxy.stop().then(() => process.exit(0)));
}
