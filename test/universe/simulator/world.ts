import { randomBytes, randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { PROFILES, type Profile } from './profiles.ts';
import { type State, saveState, type TabletState, type TserverState } from './state.ts';

/** The universe: its state, its clock, and its one lock. */
export class World {
  readonly directory: string;
  readonly state: State;
  readonly profile: Profile;
  /** The PostgreSQL server behind it. */
  readonly url: (database: string) => string;
  /** PostgreSQL's own programs. */
  readonly binDirectory: string;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    directory: string,
    state: State,
    postgres: { url(database?: string): string; readonly binDirectory: string },
  ) {
    this.directory = directory;
    this.state = state;
    this.profile = PROFILES[state.config.profile];
    this.url = (database) => postgres.url(database);
    this.binDirectory = postgres.binDirectory;
  }

  save(): void {
    saveState(this.directory, this.state);
  }

  /** Milliseconds since 1970 by the universe's clock. */
  now(): number {
    return Date.now() + this.state.clockOffsetMs;
  }

  /** Returns a hybrid time, in microseconds since 1970, later than any returned before. */
  hybridTime(): string {
    const present = BigInt(this.now()) * 1000n;
    const last = BigInt(this.state.lastMicros);
    this.state.lastMicros = String(present > last ? present : last + 1n);
    return this.state.lastMicros;
  }

  /** Runs one change at a time, like the leading master, and saves its result before the next one. */
  async exclusively<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(async () => {
      try {
        return await act();
      } finally {
        this.save();
      }
    });
    this.#turn = turn.catch(() => undefined);
    return await turn;
  }

  /** Runs `use` with a new connection: an idle one would keep a database from being dropped. */
  async connected<T>(database: string, use: (client: Client) => Promise<T>): Promise<T> {
    const client = new Client({ connectionString: this.url(database) });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return await use(client);
    } finally {
      await client.end();
    }
  }

  tserver(uuid: string): TserverState {
    const found = this.state.tservers.find((server) => server.uuid === uuid);
    if (found === undefined) throw new Error(`no tablet server ${uuid}`);
    return found;
  }

  isAlive(uuid: string): boolean {
    return this.tserver(uuid).alive;
  }

  /** The tablet's leader, if it has one that answers. */
  leaderOf(tablet: TabletState): TserverState | undefined {
    if (tablet.leader === undefined || (tablet.leaderlessUntil ?? 0) > this.now()) return undefined;
    const server = this.tserver(tablet.leader);
    return server.alive ? server : undefined;
  }
}

export const RPC_PORT = 9100;
export const TSERVER_WEB_PORT = 9000;
export const MASTER_RPC_PORT = 7100;
export const MASTER_WEB_PORT = 7000;
export const YSQL_PORT = 5433;

export const newId = (): string => randomBytes(16).toString('hex');
export const newUuid = (): string => randomUUID();
