import { parseConnectionUrl } from '../../engines/ysql/server/connection-url.ts';
import { connect } from '../../engines/ysql/server/session.ts';
import { withPooledSession } from '../../engines/ysql/server/session-pool.ts';

/* Uses a session once, says so, and has nothing else to do: argument 1 is the URL. */

const url = process.argv[2] ?? '';
const target = parseConnectionUrl(url);
const { signal } = new AbortController();
await withPooledSession(
  'one',
  () => connect(target, target.database, signal),
  signal,
  (session) => session.query('use the session', 'SELECT 1'),
);
process.stdout.write('waits\n');
