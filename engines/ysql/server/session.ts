import type { QueryResultRow } from 'pg';
import pg from 'pg';
import { permanent } from '../../../model/errors.ts';
import type { SecretRef } from '../../../model/pipeline.ts';
import type { VerbContext } from '../../engine.ts';
import { lendingSocket } from '../lending-socket.ts';
import { type ConnectionTarget, clientConfigs, parseConnectionUrl } from './connection-url.ts';
import { databaseError, isNoSuchDatabase, mayComeFromWithin, sqlState } from './errors.ts';
import { learnsToLeaveOn, learnsToSwitchOff, loginOptions } from './login-triggers.ts';
import { ASK_BACKEND, type Backend, refuseSharedSessions, sessionIsShared } from './pooler.ts';
import {
  PIN_IN_TRANSACTION,
  type PinnedSetting,
  type ReportedByServer,
  requirePinned,
  sessionSettings,
} from './session-settings.ts';
import { learnsRefusedPins, learnsShortTimeouts, noteServer, sessionPins } from './startup-pins.ts';

const CONNECT_TIMEOUT_MS = 15_000;

/** One connection to one database. A failed statement always throws a `HoldfastError`. */
export interface Session {
  readonly client: pg.Client;
  readonly database: string;
  /** Runs SQL; `doing` completes "Failed to …" in the error. */
  query<Row extends QueryResultRow>(
    doing: string,
    text: string,
    values?: readonly unknown[],
  ): Promise<readonly Row[]>;
  /** Turns a statement's error into a `HoldfastError`. Where that decides the cause, it asks the server whether it still answers. */
  failure(error: unknown, doing: string): Promise<unknown>;
  /** The product that the server reported; undefined until it did. */
  readonly product: 'postgresql' | 'yugabytedb' | undefined;
  /** Set after connecting to PostgreSQL. */
  readonly backend: Backend | undefined;
  /** True as soon as the connection can't be used any more. */
  readonly broken: boolean;
  /** Fulfilled with the cause when the connection ends by itself. */
  readonly lost: Promise<Error>;
  /** Makes this signal the one that cuts the connection; undefined while nobody uses the session. */
  adopt(signal: AbortSignal | undefined): void;
  /** Ends the connection; never throws. */
  close(): Promise<void>;
}

/** Reads and parses the connection that `reference` names. */
export async function resolveTarget(verb: VerbContext, reference: SecretRef): Promise<ConnectionTarget> {
  return parseConnectionUrl(await verb.secret(reference));
}

/**
 * Connects with the settings that make text exact. An abort of `signal` cuts the connection, and so ends the running statement.
 * It sends `beforeSettings` first (YugabyteDB needs `yb_read_time` before any query).
 *
 * @throws HoldfastError `YSQL_POOLER` (permanent) when a pooler doesn't keep the session together
 */
export async function connect(
  target: ConnectionTarget,
  database: string,
  signal: AbortSignal,
  beforeSettings?: string,
): Promise<Session> {
  signal.throwIfAborted();
  const { client, reported, options } = await connectToFirst(target, database, signal);
  const session = new ClientSession(client, database, reported(), signal);
  try {
    if (beforeSettings !== undefined) await session.query('set the read time', beforeSettings);
    await session.prepare();
    if (session.backend?.pooled === true) {
      const other = await connectToFirst(target, database, signal);
      try {
        await refuseSharedSessions(client, session.backend, other.client, database);
      } catch (error) {
        throw await session.failure(error, 'look whether a pooler keeps the session together');
      } finally {
        await other.client.end();
      }
    }
    return session;
  } catch (error) {
    await session.close();
    if (learnsShortTimeouts(target, [error, session.lostBy], options))
      return await connect(target, database, signal, beforeSettings);
    throw error;
  }
}

interface Connected {
  readonly client: pg.Client;
  readonly reported: () => Reported;
  /** The startup options, beyond those of the URL. */
  readonly options: readonly string[];
}

async function connectToFirst(
  target: ConnectionTarget,
  database: string,
  signal: AbortSignal,
): Promise<Connected> {
  const where = target.hosts.map(({ host, port }) => `${host}:${port}`).join(', ');
  let failure: unknown;
  const options = [...loginOptions(target), ...sessionPins(target)];
  for (const config of clientConfigs(target, database, ...options)) {
    const client = new pg.Client({
      ...config,
      ...(config.ssl ? {} : { stream: lendingSocket }),
      application_name: 'holdfast',
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    });
    const reported = listenToServer(client);
    // Without a listener, a connection that dies while connecting would end the process; connect() reports the cause.
    client.on('error', () => undefined);
    try {
      await client.connect();
    } catch (error) {
      failure = error;
      // A trigger that refuses logins runs after the server has reported its parameters.
      const isOtherwise =
        learnsToLeaveOn(target, error) ||
        learnsRefusedPins(target, error) ||
        learnsToSwitchOff(target, reported());
      if (isOtherwise) return await connectToFirst(target, database, signal);
      continue;
    }
    noteServer(target, reported());
    if (!learnsToSwitchOff(target, reported())) return { client, reported, options };
    await client.end();
    return await connectToFirst(target, database, signal);
  }
  throw databaseError(failure, `connect to database "${database}" at ${where}`, { signal });
}

interface Reported extends ReportedByServer {
  readonly product: Session['product'];
  /** The process id that was reported for the connection. A pooler reports one of its own. */
  readonly pid: number | undefined;
}

/** Listens to what the server reports while the connection is made, such as its version: `15.12-YB-2025.1.0.0-b0` on YugabyteDB. */
function listenToServer(client: pg.Client): () => Reported {
  const parameters = new Map<string, string>();
  let pid: number | undefined;
  client.connection.on('parameterStatus', (reported: { parameterName: string; parameterValue: string }) => {
    parameters.set(reported.parameterName, reported.parameterValue);
  });
  client.connection.on('backendKeyData', (reported: { processID: number }) => {
    pid = reported.processID;
  });
  return () => {
    const version = parameters.get('server_version');
    return {
      product: version === undefined ? undefined : version.includes('-YB-') ? 'yugabytedb' : 'postgresql',
      major: version === undefined ? undefined : Number.parseInt(version, 10),
      superuser: parameters.get('is_superuser') === 'on',
      pid,
    };
  };
}

/** Reads the process id from the result of the last of several statements in one text. */
function lastPid(answers: unknown): number {
  const last: unknown = Array.isArray(answers) ? answers.at(-1) : answers;
  const rows: unknown = typeof last === 'object' && last !== null && 'rows' in last ? last.rows : undefined;
  const row: unknown = Array.isArray(rows) ? rows[0] : undefined;
  if (typeof row === 'object' && row !== null && 'pid' in row && typeof row.pid === 'number') return row.pid;
  throw permanent(
    'YSQL_NO_ROW',
    'The server did not tell which of its processes answers',
    'Check that the server is YSQL or PostgreSQL.',
  );
}

const ANSWER_WITHIN_MS = 5_000;

class ClientSession implements Session {
  readonly client: pg.Client;
  readonly database: string;
  readonly product: Session['product'];
  readonly lost: Promise<Error>;
  readonly #reported: Reported;
  #backend: Backend | undefined;
  #signal: AbortSignal | undefined;
  readonly #onAbort = () => this.#destroy();
  #broken = false;
  #lostBy: Error | undefined;
  #closing = false;

  constructor(client: pg.Client, database: string, reported: Reported, signal: AbortSignal) {
    this.client = client;
    this.database = database;
    this.product = reported.product;
    this.#reported = reported;
    this.adopt(signal);
    this.lost = new Promise((resolve) => {
      const report = (error: Error) => {
        this.#broken = true;
        this.#lostBy ??= error;
        if (!this.#closing) resolve(error);
      };
      client.on('error', report);
      client.on('end', () => report(new Error('Connection terminated')));
    });
  }

  adopt(signal: AbortSignal | undefined): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    // An abort during the connecting has fired already, so the listener misses it.
    if (signal?.aborted) this.#destroy();
  }

  get broken(): boolean {
    return this.#broken;
  }

  /** The error that ended the connection, if it ended by itself: the server's own message if there was one. */
  get lostBy(): Error | undefined {
    return this.#lostBy;
  }

  get backend(): Backend | undefined {
    return this.#backend;
  }

  /** Sets the settings that all work relies on, and asks in the same round trip which server process answers. */
  async prepare(): Promise<void> {
    const settings = sessionSettings(this.#reported);
    if (this.product !== 'postgresql') {
      await this.query('prepare the session', settings);
      return;
    }
    try {
      const answers: unknown = await this.client.query(`${settings}; ${ASK_BACKEND}`);
      const pid = lastPid(answers);
      this.#backend = { pid, pooled: pid !== this.#reported.pid };
    } catch (error) {
      throw await this.failure(error, 'prepare the session');
    }
  }

  async query<Row extends QueryResultRow>(doing: string, text: string, values?: readonly unknown[]) {
    try {
      const result =
        values === undefined
          ? await this.client.query<Row>(text)
          : await this.client.query<Row>(text, [...values]);
      return result.rows ?? [];
    } catch (error) {
      throw await this.failure(error, doing);
    }
  }

  async failure(error: unknown, doing: string): Promise<unknown> {
    const sessionAnswers = mayComeFromWithin(sqlState(error)) && (await this.#answers());
    // Between two statements the server's last message reaches the connection, not the next statement, which only finds it
    // closed.
    const cause =
      sqlState(error) === undefined && sqlState(this.#lostBy) !== undefined ? this.#lostBy : error;
    return databaseError(cause, doing, { signal: this.#signal, product: this.product, sessionAnswers });
  }

  /** Asks whether the server still answers. In a failed transaction it answers with an error, which counts as an answer. */
  async #answers(): Promise<boolean> {
    if (this.#broken || this.#signal?.aborted === true) return false;
    const { promise: silence, resolve } = Promise.withResolvers<false>();
    const timer = setTimeout(() => resolve(false), ANSWER_WITHIN_MS);
    const asked = this.client.query('SELECT 1').then(
      () => true,
      (error: unknown) => sqlState(error) === '25P02',
    );
    try {
      return await Promise.race([asked, silence]);
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.adopt(undefined);
    if (this.#broken) return this.#destroy();
    // end() waits for the server's answer, so a server that is gone must not block it.
    const timer = setTimeout(() => this.#destroy(), 2_000);
    await this.client.end().catch(() => this.#destroy());
    clearTimeout(timer);
  }

  #destroy(): void {
    this.#broken = true;
    this.client.connection.stream.destroy();
  }
}

/** Connects, runs `work`, and always closes the session. */
export async function withSession<T>(
  target: ConnectionTarget,
  database: string,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await connect(target, database, signal);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

/** Every server has one of them, but for who dropped them. */
const ALWAYS_THERE = ['postgres', 'template1'];

/**
 * Runs `work`, which asks the server and no particular database, in the database of the URL; where that was dropped or renamed, in `postgres` or
 * `template1`. Throws that the database of the URL isn't there where neither takes the connection.
 */
export async function withServerSession<T>(
  target: ConnectionTarget,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await connectToServer(target, signal);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

async function connectToServer(target: ConnectionTarget, signal: AbortSignal): Promise<Session> {
  try {
    return await connect(target, target.database, signal);
  } catch (error) {
    if (!isNoSuchDatabase(error)) throw error;
    for (const database of ALWAYS_THERE) {
      const session = await connect(target, database, signal).catch(() => undefined);
      if (session !== undefined) return session;
    }
    throw error;
  }
}

/**
 * Pins every setting that reading relies on in the session's transaction and reads the settings back there. Checks that the
 * transaction runs in the server session that was prepared.
 *
 * @throws HoldfastError `YSQL_SETTING`, `YSQL_POOLER` (permanent)
 */
export async function pinSettings(session: Session): Promise<readonly PinnedSetting[]> {
  const settings = await session.query<PinnedSetting>('pin the settings', PIN_IN_TRANSACTION);
  requirePinned(settings, session.database);
  const moved = settings.some(({ pid }) => session.backend !== undefined && pid !== session.backend.pid);
  if (moved) throw sessionIsShared(session.database);
  return settings;
}

/** Runs `work` in a transaction of `session`. Commits at the end; rolls back on any error. */
export async function inTransaction<T>(session: Session, work: () => Promise<T>): Promise<T> {
  await session.query('begin a transaction', 'BEGIN');
  try {
    // Without a pooler the session keeps the settings that it was prepared with.
    if (session.backend?.pooled === true) await pinSettings(session);
    const result = await work();
    await session.query('commit', 'COMMIT');
    return result;
  } catch (error) {
    if (!session.broken) await session.query('roll back', 'ROLLBACK');
    throw error;
  }
}

/** Returns the row of a query that always has one. Throws `YSQL_NO_ROW` (permanent) when it has none. */
export function onlyRow<Row>(rows: readonly Row[], what: string): Row {
  const [row] = rows;
  if (row === undefined) {
    throw permanent(
      'YSQL_NO_ROW',
      `The server returned no row for ${what}`,
      'Check that the server is YSQL or PostgreSQL.',
    );
  }
  return row;
}
