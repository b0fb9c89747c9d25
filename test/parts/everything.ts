/** A program that starts every real part, names what it started on stdout, and ends as its argument says. */
import path from 'node:path';
import { startPostgres } from '../../parts/postgres.ts';
import { startS3Gateway } from '../../parts/s3.ts';
import { startTemporal } from '../../parts/temporal.ts';
import { startToxiproxy } from '../../parts/toxiproxy.ts';

const [postgres, temporal, s3, toxiproxy] = await Promise.all([
  startPostgres(),
  startTemporal(),
  startS3Gateway(),
  startToxiproxy(),
]);
process.stdout.write(
  `${JSON.stringify({
    pids: [postgres.pid, temporal.pid, s3.pid, toxiproxy.pid],
    folders: [postgres.logFile, temporal.logFile, s3.logFile].map((file) => path.dirname(file)),
  })}\n`,
);
switch (process.argv[2]) {
  case 'throws':
    throw new Error('on purpose');
  case 'exits':
    process.exit(3);
    break;
  case 'ends':
    break;
  default:
    setInterval(() => undefined, 60_000);
}
