/** The proxy as a process of its own: `node test/proxy/main.ts --upstream URL --port PORT [--history-retention-ms N]`. */
import { parseArgs } from 'node:util';
import { startYsqlProxy } from './proxy.ts';

const { values } = parseArgs({
  options: {
    upstream: { type: 'string' },
    port: { type: 'string', default: '0' },
    'history-retention-ms': { type: 'string', default: '900000' },
  },
});
if (values.upstream === undefined) {
  process.stderr.write('usage: main.ts --upstream postgresql://USER@HOST:PORT/DATABASE [--port PORT]\n');
  process.exit(2);
}
const proxy = await startYsqlProxy({
  upstreamUrl: values.upstream,
  port: Number(values.port),
  historyRetentionMs: Number(values['history-retention-ms']),
});
process.stdout.write(`${JSON.stringify({ port: proxy.port })}\n`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void proxy.stop().then(() => process.exit(0)));
}
