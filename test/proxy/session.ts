import type { Socket } from 'node:net';
import type { ClientLine } from './client-lines.ts';
import type { Upstream } from './connection.ts';
import { instant, readTimeOf, translate, upstreamSetting } from './dialect.ts';
import {
  body,
  cutString,
  encode,
  errorFields,
  errorResponse,
  FrameWalker,
  firstColumn,
  notice,
  type Piece,
  query,
  readyForQuery,
  strings,
  type TransactionStatus,
  text,
  transactionStatus,
} from './frames.ts';
import { colocate } from './install.ts';
import { changeDatabase, translateNodes } from './nodes.ts';
import { colocatedDatabase, placementNotes } from './placement-store.ts';
import { deniedSetting, maySet } from './privileges.ts';
import { replicationNotes, translateReplication } from './replication/dialect.ts';
import { hybridOfReadTime } from './replication/hybrid-time.ts';
import { CALL } from './replication/install.ts';
import type { Refusal } from './replication/refusal.ts';
import { rewriteRefusal, rewrittenTable } from './replication/rewrites.ts';
import {
  rowsOf,
  rowsSince,
  savepointStep,
  type WrittenRows,
  writtenRows,
} from './replication/written-rows.ts';
import { isDdl, isSavepoint, nonconcurrentIndex, refusalOf } from './rules.ts';
import { nowMicros, type SnapshotKeeper, SnapshotTooOld } from './snapshots.ts';
import { type SocketReader, send } from './sockets.ts';
import { identifier, kindOfStatement, type Statement, type StatementKind, statements } from './sql.ts';
import { databaseOf, initialReadTime, startupPacket, translateParameters } from './startup.ts';

/** What the current transaction reads. */
type Pin = 'unknown' | 'present' | 'instant';

/** What the proxy did before a turn, and what follows for the turn. */
type Preparation =
  | { readonly kind: 'ready' }
  /** The proxy opened a transaction and closes it after the turn. */
  | { readonly kind: 'wrapped' }
  /** `statement` replaces the turn and raises the error that the client gets. */
  | { readonly kind: 'refused'; readonly statement: string };

const READY: Preparation = { kind: 'ready' };

const DATA_CLIENT = 'd';
const DATA_SERVER = 'dD';
const READ_ONLY_TRANSACTION = '25006';
/** The skew that `max_clock_skew_usec` allows. */
const CLOCK_SKEW_MICROS = 500_000n;
const READ_TIME_NOTICE =
  'yb_read_time should only be set for read-only queries. Write-DML or DDL queries are not allowed when yb_read_time is set.';

/**
 * One client's session. It handles the client's messages in turns: a turn is one Query, or the extended-protocol messages up to a Sync. Before and
 * after a turn the proxy may run its own statements, whose answers the client doesn't see.
 */
export class Session {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #keeper: SnapshotKeeper;
  readonly #upstream: Upstream;
  readonly #parameters: ReadonlyMap<string, string>;
  readonly #line: ClientLine;
  /** Settles when the previous turn is answered. */
  #turn: Promise<void> = Promise.resolve();
  /** Belongs to the current message; settles with the next ReadyForQuery. */
  #ready: PromiseWithResolvers<TransactionStatus> | undefined;
  #upstreamGone = false;
  /** Answers to one of the proxy's own statements. */
  #captured: Piece[] | undefined;
  #status: TransactionStatus = 'I';
  #copyIn = false;
  /** The client got an error during the current message. */
  #failed = false;
  /** The proxy itself raised the current error. */
  #refusing = false;
  /** The preparation for the extended-protocol messages since the last Sync. */
  #batch: Preparation | undefined;
  #pin: Pin = 'unknown';
  /** False while nobody has mentioned `yb_read_time`: then the proxy needn't ask for it. */
  #travels: boolean;
  /** After `Snapshot too old` every statement fails with it (yugabyte-db issue 30993). */
  #tooOld: SnapshotTooOld | undefined;
  readonly #preparedKinds = new Map<string, StatementKind>();
  readonly #nonconcurrent: string[];
  /** YSQL refuses DDL and savepoints in the same transaction. */
  #ddlSeen = false;
  #savepointSeen = false;
  /** Of each savepoint, a transaction id from before it was set. */
  readonly #savepoints = new Map<string, string>();

  constructor(client: Socket, server: Socket, upstream: Upstream, parameters: ReadonlyMap<string, string>) {
    this.#client = client;
    this.#nonconcurrent = upstream.nonconcurrent;
    this.#server = server;
    this.#upstream = upstream;
    this.#keeper = upstream.keeper;
    this.#parameters = parameters;
    this.#line = upstream.line;
    this.#travels = initialReadTime(parameters) !== undefined;
  }

  async run(reader: SocketReader): Promise<void> {
    const micros = instant(initialReadTime(this.#parameters) ?? '0');
    if (micros !== 'invalid' && micros !== 0n) await this.#keeper.name(micros);
    const answers = this.#serveAnswers();
    this.#take(this.#answer(startupPacket(translateParameters(this.#parameters))));
    await Promise.all([answers, this.#serveRequests(reader)]);
  }

  /** Makes a turn the current one. If it fails, it closes the connection. */
  #take(turn: Promise<void>): void {
    this.#turn = turn.catch((error: Error) => {
      this.#server.destroy(error);
      this.#client.destroy(error);
    });
  }

  async #serveRequests(reader: SocketReader): Promise<void> {
    const walker = new FrameWalker(DATA_CLIENT);
    for await (const chunk of reader.chunks()) {
      for (const piece of walker.feed(chunk)) {
        if (piece.kind === 'bulk') await send(this.#server, piece.bytes);
        else await this.#request(piece.type, piece.bytes);
      }
    }
    this.#server.end();
  }

  async #request(type: string, bytes: Buffer): Promise<void> {
    const belongsToCopy = this.#copyIn && (type === 'S' || type === 'H');
    if ('cfpX'.includes(type) || belongsToCopy) {
      await send(this.#server, bytes);
    } else if (type === 'Q') {
      await this.#turn;
      this.#take(this.#simple(cutString(body(bytes)).value));
    } else if (type === 'F') {
      await this.#turn;
      this.#take(this.#answer(bytes));
    } else {
      await this.#extended(type, bytes);
    }
  }

  /** Runs a Query, as it is or statement by statement when its text may control transactions or the read time. */
  async #simple(sql: string): Promise<void> {
    const found = statements(sql);
    const rule = await this.#applyRules(found);
    if (rule !== undefined) {
      await this.#relay(query(rule.statement));
      return await send(this.#client, readyForQuery(this.#status));
    }
    const onlySettings = found.every((statement) => kindOfStatement(statement) === 'session');
    const steers = found.length > 1 && (/yb_read_time/i.test(sql) || (this.#travels && !onlySettings));
    await this.#beforeDatabaseChange(found);
    if (!steers) {
      await this.#simpleUnit(sql, found);
    } else {
      for (const statement of found) {
        await this.#simpleUnit(statement.sql, [statement]);
        if (this.#failed) break;
      }
    }
    await send(this.#client, readyForQuery(this.#status));
  }

  /** Refuses what YSQL refuses though PostgreSQL allows it, and records the indexes that YSQL would build without backfill. */
  async #applyRules(
    found: readonly Statement[],
  ): Promise<Extract<Preparation, { kind: 'refused' }> | undefined> {
    const alone = found.length === 1;
    for (const statement of found) {
      const transaction = { open: this.#status === 'T', ddl: this.#ddlSeen, savepoint: this.#savepointSeen };
      const refusal = refusalOf(statement, transaction, alone);
      if (refusal !== undefined) return refused(refusal.code, refusal.message);
      const index = nonconcurrentIndex(statement, transaction, alone);
      if (index !== undefined) this.#nonconcurrent.push(index);
      this.#ddlSeen ||= isDdl(statement);
      this.#savepointSeen ||= isSavepoint(statement);
    }
    return undefined;
  }

  /** Up to 2025.2 no table of a database with a slot may be written anew. */
  #rewriteRefusal(found: readonly Statement[]): Refusal | undefined {
    const { replicates, slots } = this.#upstream;
    if (!replicates || slots.behaviour.dynamicTables) return undefined;
    const database = databaseOf(this.#parameters);
    if (slots.all(database).length === 0) return undefined;
    const table = found.map(rewrittenTable).find((name) => name !== undefined);
    return table === undefined ? undefined : rewriteRefusal(database, table);
  }

  async #simpleUnit(sql: string, found: readonly Statement[]): Promise<void> {
    const kind = found.some((statement) => kindOfStatement(statement) === 'query')
      ? 'query'
      : kindOfFirst(found);
    const preparation = await this.#prepare(kind, found);
    const rolledBack = await this.#beforeSavepoint(found);
    this.#failed = false;
    await this.#relay(
      query(preparation.kind === 'refused' ? preparation.statement : await this.#translated(sql, found)),
    );
    this.#refusing = false;
    if (rolledBack !== undefined && !this.#failed) await this.#sendBesides(rolledBack);
    const [only] = found;
    if (found.length === 1 && only !== undefined && !this.#failed) {
      const ofReplication = this.#upstream.replicates ? replicationNotes(only) : [];
      for (const note of [...placementNotes(only), ...ofReplication]) await this.#own(note);
      await this.#afterRewrite(only);
      const colocated = colocatedDatabase(only);
      if (colocated !== undefined) await colocate(this.#upstream.url, colocated);
    }
    if (preparation.kind === 'wrapped') await this.#own('COMMIT');
  }

  /** What is about to be rolled back to a savepoint, which older releases send all the same (issue 10936). */
  async #beforeSavepoint(found: readonly Statement[]): Promise<WrittenRows | undefined> {
    const { replicates, slots } = this.#upstream;
    const step = found[0] === undefined ? undefined : savepointStep(found[0]);
    if (step === undefined || !replicates || slots.behaviour.filtersSavepoints || this.#status !== 'T')
      return undefined;
    const log = slots.logOf(databaseOf(this.#parameters));
    if (step.kind === 'set' && log !== undefined) this.#savepoints.set(step.name, await log.newXid());
    const since = step.kind === 'rollback' ? this.#savepoints.get(step.name) : undefined;
    return since === undefined ? undefined : writtenRows((await this.#own(rowsSince(since))).value);
  }

  /** Rows that the slots of the database send with the transaction at hand, though it didn't write them. */
  async #sendBesides(rows: WrittenRows): Promise<void> {
    const log = this.#upstream.slots.logOf(databaseOf(this.#parameters));
    if (log === undefined) return;
    log.sendBesides(rows);
    await this.#own('SELECT pg_catalog.yb_feed_mark()');
  }

  /** A table that was written anew is sent anew, from 2026.1 on (issue 31636). TRUNCATE leaves nothing to send. */
  async #afterRewrite(only: Statement): Promise<void> {
    const { replicates, slots } = this.#upstream;
    const table = replicates && slots.behaviour.dynamicTables ? rewrittenTable(only) : undefined;
    if (table === undefined) return;
    const alone = this.#status === 'I';
    if (alone) await this.#own('BEGIN');
    const rows = writtenRows((await this.#own(rowsOf(table))).value);
    if (rows !== undefined) await this.#sendBesides(rows);
    if (alone) await this.#own('COMMIT');
  }

  async #translated(sql: string, found: readonly Statement[]): Promise<string> {
    const { place } = this.#upstream;
    const [only] = found;
    const changed =
      found.length === 1 && only !== undefined && only.tokens[1]?.text === 'database'
        ? await changeDatabase(only, place)
        : sql;
    return this.#dialect(changed);
  }

  #dialect(sql: string): string {
    const { place, replicates } = this.#upstream;
    return translateNodes(translate(replicates ? translateReplication(sql) : sql, this.#line), place);
  }

  async #extended(type: string, bytes: Buffer): Promise<void> {
    await this.#turn;
    if (this.#batch === undefined) {
      const { kind, found } = this.#kindOfMessage(type, bytes);
      this.#batch = await this.#prepare(kind, found);
    }
    const preparation = this.#batch;
    if (type === 'S') {
      this.#batch = undefined;
      this.#take(this.#closeBatch(preparation, bytes));
    } else if (preparation.kind !== 'refused') {
      await send(this.#server, type === 'P' ? translateParse(bytes, (sql) => this.#dialect(sql)) : bytes);
    }
  }

  async #closeBatch(preparation: Preparation, sync: Buffer): Promise<void> {
    await this.#relay(preparation.kind === 'refused' ? query(preparation.statement) : sync);
    this.#refusing = false;
    if (preparation.kind === 'wrapped') await this.#own('COMMIT');
    await send(this.#client, readyForQuery(this.#status));
  }

  /** The first message of a batch decides its kind: Parse by its text, Bind by the text of its parsed statement. */
  #kindOfMessage(
    type: string,
    bytes: Buffer,
  ): { readonly kind: StatementKind; readonly found: readonly Statement[] } {
    const name = cutString(body(bytes));
    if (type === 'P') {
      const found = statements(cutString(name.rest).value);
      const kind = kindOfFirst(found);
      this.#preparedKinds.set(name.value, kind);
      return { kind, found };
    }
    const statementName = type === 'B' ? cutString(name.rest).value : '';
    const known = type === 'B' ? this.#preparedKinds.get(statementName) : undefined;
    return { kind: known ?? (type === 'C' || type === 'S' ? 'session' : 'query'), found: [] };
  }

  async #prepare(kind: StatementKind, found: readonly Statement[]): Promise<Preparation> {
    const { faults, exportSnapshot } = this.#upstream;
    const fault = faults.meet(found);
    if (fault !== undefined) return this.#refuse(fault.code, fault.message);
    const rewrite = this.#rewriteRefusal(found);
    if (rewrite !== undefined) return this.#refuse(rewrite.code, rewrite.message);
    if (
      !exportSnapshot &&
      found.some(({ tokens }) => tokens.some((token) => token.text === 'pg_export_snapshot'))
    ) {
      return this.#refuse(
        '0A000',
        'cannot export or import snapshot when ysql_enable_pg_export_snapshot is disabled.',
      );
    }
    const denied = deniedSetting(found);
    if (
      denied !== undefined &&
      !(await maySet(this.#upstream.url, this.#parameters.get('user') ?? '', denied))
    ) {
      return this.#refuse('42501', `permission denied to set parameter "${denied}"`);
    }
    const named = await this.#nameInstants(found);
    if (named.kind === 'refused') return named;
    if (this.#tooOld !== undefined) return this.#refuse('72000', this.#tooOld.message);
    if (!this.#travels || kind !== 'query' || this.#status === 'E' || this.#pin !== 'unknown') return READY;
    const shown = (await this.#own(`SHOW ${upstreamSetting('yb_read_time')}`)).value;
    const micros = instant(shown);
    if (micros === 'invalid') return refusedReadTime(shown);
    if (micros !== 0n) return await this.#importSnapshot(micros, shown);
    this.#pin = 'present';
    return READY;
  }

  /** Refuses with an error of the proxy's own. The client needn't see where it was raised. */
  #refuse(code: string, message: string): Preparation {
    this.#refusing = true;
    return refused(code, message);
  }

  /** Keeps the instants that `SET yb_read_time` names. */
  async #nameInstants(found: readonly Statement[]): Promise<Preparation> {
    for (const statement of found) {
      if (statement.tokens.some((token) => token.text.includes('yb_read_time'))) {
        this.#travels = true;
        if (this.#pin === 'present') this.#pin = 'unknown';
      }
      const readTime = readTimeOf(statement);
      if (readTime === undefined || readTime.micros === 0n) continue;
      if (readTime.micros === 'invalid' || readTime.micros > nowMicros() + CLOCK_SKEW_MICROS) {
        return refusedReadTime(readTime.text);
      }
      await this.#keeper.name(readTime.micros);
      await send(this.#client, notice(READ_TIME_NOTICE));
    }
    return READY;
  }

  /** Makes the current transaction read the instant; outside of a transaction the proxy opens one. */
  async #importSnapshot(micros: bigint, readTime: string): Promise<Preparation> {
    const outside = this.#status === 'I';
    try {
      const snapshot = await this.#snapshotOf(micros, readTime);
      if (outside) await this.#own('BEGIN');
      await this.#own('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      await this.#own('SET TRANSACTION READ ONLY');
      const imported = await this.#own(`SET TRANSACTION SNAPSHOT '${snapshot}'`);
      this.#pin = 'instant';
      if (imported.error === undefined) return outside ? { kind: 'wrapped' } : READY;
      if (outside) await this.#own('ROLLBACK');
      return refused(imported.error.code, imported.error.message);
    } catch (error) {
      if (!(error instanceof SnapshotTooOld)) throw error;
      this.#tooOld = error;
      return refused('72000', error.message);
    }
  }

  /** A database with a log of changes goes back to any instant of it, which the log knows from what its slots send. */
  async #snapshotOf(micros: bigint, readTime: string): Promise<string> {
    const database = databaseOf(this.#parameters);
    const log = this.#upstream.slots.logOf(database);
    const hybrid = hybridOfReadTime(readTime);
    if (log === undefined || hybrid === 'invalid' || !log.reaches(hybrid)) {
      return await this.#keeper.snapshotAt(micros, database);
    }
    return (await log.instant(hybrid)).snapshotId;
  }

  /** Releases the sessions that hold instants before a database is dropped or renamed: YugabyteDB has no such sessions, so none may block it. */
  async #beforeDatabaseChange(found: readonly Statement[]): Promise<void> {
    for (const { tokens } of found) {
      const [verb, object, ...rest] = tokens;
      const inTheWay =
        rest.some(({ text: word }) => word === 'rename' || word === 'template') || verb?.text === 'drop';
      if (object?.text !== 'database' || !inTheWay) continue;
      const names = rest.map(identifier).filter((name) => name !== undefined);
      for (const name of new Set(names)) {
        await this.#keeper.release(name);
        await this.#upstream.slots.forget(name);
      }
    }
  }

  async #answer(bytes: Buffer): Promise<void> {
    await this.#relay(bytes);
    await send(this.#client, readyForQuery(this.#status));
  }

  /** Sends a message and passes the answers to the client, except ReadyForQuery. */
  async #relay(bytes: Buffer): Promise<void> {
    if (this.#upstreamGone) throw new Error('the upstream closed the connection');
    this.#ready = Promise.withResolvers();
    const { promise } = this.#ready;
    await Promise.all([send(this.#server, bytes), promise]);
  }

  /** Runs a statement that the client doesn't see; `value` is the first column of its first row. */
  async #own(sql: string): Promise<{
    readonly value: string;
    readonly error?: { readonly code: string; readonly message: string };
  }> {
    this.#captured = [];
    await this.#relay(query(sql));
    const pieces = this.#captured;
    this.#captured = undefined;
    // A long row comes in several pieces.
    const rows = Buffer.concat(pieces.filter(({ kind }) => kind === 'bulk').map(({ bytes }) => bytes));
    const value = rows.length === 0 ? '' : firstColumn(rows);
    const error = pieces.find((piece) => piece.kind === 'message' && piece.type === 'E');
    if (error === undefined) return { value };
    const fields = errorFields(error.bytes);
    return { value, error: { code: fields.get('C') ?? 'XX000', message: fields.get('M') ?? '' } };
  }

  async #serveAnswers(): Promise<void> {
    const walker = new FrameWalker(DATA_SERVER);
    try {
      for await (const chunk of this.#server) {
        const forwarded: Buffer[] = [];
        let ready: TransactionStatus | undefined;
        for (const piece of walker.feed(chunk)) {
          if (piece.kind === 'message' && piece.type === 'Z') ready = transactionStatus(piece.bytes);
          else if (isCall(piece)) this.#serveCall(piece.bytes);
          else if (this.#captured === undefined || isAsynchronous(piece))
            forwarded.push(this.#forClient(piece));
          else this.#captured.push(piece);
        }
        await send(this.#client, Buffer.concat(forwarded));
        if (ready !== undefined) this.#becomeReady(ready);
      }
    } finally {
      this.#upstreamGone = true;
      this.#ready?.reject(new Error('the upstream closed the connection'));
      this.#client.end();
    }
  }

  /** A function of the stand-in wants something of the proxy (replication/install.ts). */
  #serveCall(bytes: Buffer): void {
    const said = errorFields(bytes).get('M') ?? '';
    this.#upstream.slots
      .serveCall(databaseOf(this.#parameters), said)
      .catch((error: Error) => this.#client.destroy(error));
  }

  /** Adds this session to the node's `pg_stat_activity`. */
  #register(pid: number): void {
    const { backends } = this.#upstream.place.node;
    backends.add(pid);
    this.#server.once('close', () => backends.delete(pid));
  }

  #becomeReady(status: TransactionStatus): void {
    this.#status = status;
    this.#copyIn = false;
    if (status === 'I') {
      this.#pin = 'unknown';
      this.#ddlSeen = false;
      this.#savepointSeen = false;
    }
    this.#ready?.resolve(status);
    this.#ready = undefined;
  }

  #forClient(piece: Piece): Buffer {
    if (piece.kind === 'bulk') return piece.bytes;
    if (piece.type === 'G') this.#copyIn = true;
    if (piece.type === 'K') this.#register(body(piece.bytes).readInt32BE(0));
    if (piece.type === 'S' && strings(body(piece.bytes))[0] === 'server_version') {
      return encode('S', text('server_version'), text(this.#line.version));
    }
    if (piece.type !== 'E') return piece.bytes;
    this.#failed = true;
    const fields = errorFields(piece.bytes);
    if (this.#refusing) {
      return errorResponse(new Map([...fields].filter(([field]) => 'SVCM'.includes(field))));
    }
    // Functions that are C in YugabyteDB are PL/pgSQL here, so remove their context.
    if (/function yb_\w+\(/.test(fields.get('W') ?? ''))
      return errorResponse(new Map([...fields].filter(([field]) => field !== 'W')));
    if (fields.get('C') !== READ_ONLY_TRANSACTION || this.#pin !== 'instant') return piece.bytes;
    const message = 'Write DML operation can not be performed while yb_read_time is set to nonzero.';
    return errorResponse(new Map(fields).set('M', message).set('C', 'XX000'));
  }
}

/** Parameter changes and notifications may arrive at any time. They belong to the client, even during the proxy's own statements. */
function isAsynchronous(piece: Piece): boolean {
  return piece.kind === 'message' && (piece.type === 'S' || piece.type === 'A');
}

function isCall(piece: Piece): piece is Extract<Piece, { kind: 'message' }> {
  return (
    piece.kind === 'message' &&
    piece.type === 'N' &&
    errorFields(piece.bytes).get('M')?.startsWith(CALL) === true
  );
}

function kindOfFirst(found: readonly Statement[]): StatementKind {
  return found[0] === undefined ? 'session' : kindOfStatement(found[0]);
}

function translateParse(bytes: Buffer, translated: (sql: string) => string): Buffer {
  const name = cutString(body(bytes));
  const sql = cutString(name.rest);
  return encode('P', text(name.value), text(translated(sql.value)), sql.rest);
}

function refusedReadTime(value: string): Preparation {
  return refused('22023', `invalid value for parameter "yb_read_time": "${value}"`);
}

/** Refuses by a statement that raises the error, so that the upstream's transaction fails too. */
function refused(code: string, message: string): Extract<Preparation, { kind: 'refused' }> {
  const quoted = message.replaceAll("'", "''");
  const statement = `DO $raise$ BEGIN RAISE EXCEPTION USING ERRCODE = '${code}', MESSAGE = '${quoted}'; END $raise$`;
  return { kind: 'refused', statement };
}
