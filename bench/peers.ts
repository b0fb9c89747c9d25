import { spawn } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';

interface Reader {
  copy(piece: string): Promise<void>;
  end(): Promise<void>;
}

const copyOf = (piece: string): string => `COPY (${piece}) TO STDOUT`;

/** PostgreSQL's own programs, measured as whole processes, and plain COPY. */
export class Peers {
  private readonly binDirectory: string;
  private readonly url: (database: string) => string;

  constructor(binDirectory: string, url: (database: string) => string) {
    this.binDirectory = binDirectory;
    this.url = url;
  }

  /** `pg_dump -Fd -j 2` with the given extra arguments; returns the dump's size in bytes. */
  async dump(database: string, directory: string, extra: readonly string[]): Promise<number> {
    await this.run('pg_dump', ['-Fd', '-j', '2', ...extra, '-f', directory, '-d', this.url(database)]);
    let bytes = 0;
    for (const name of await readdir(directory)) bytes += (await stat(join(directory, name))).size;
    return bytes;
  }

  /** One of a newer major sets a parameter that an older server doesn't have. It tells so, goes on, and ends with 1. */
  async restore(directory: string, database: string): Promise<void> {
    await this.run('pg_restore', ['-j', '2', '-d', this.url(database), directory], isNewerParameterAlone);
  }

  /** `vacuumdb -j 2 --analyze`, which pg_restore leaves to the user. */
  async vacuum(database: string): Promise<void> {
    await this.run('vacuumdb', ['-q', '-j', '2', '--analyze', '-d', this.url(database)]);
  }

  /** COPY with discarded output, by `parallelism` psql processes at once, over pieces of tables of the size that Holdfast cuts. */
  async copyToNowhere(database: string, parallelism: number, chunkBytes: number): Promise<void> {
    await this.inParallel(database, parallelism, chunkBytes, () => ({
      copy: (piece) => this.run('psql', ['-X', '-q', '-d', this.url(database), '-c', copyOf(piece)]),
      end: async () => undefined,
    }));
  }

  /** The same in this process, by Node's usual client library, `pg` with `pg-copy-streams`. */
  async copyToNowhereByNode(database: string, parallelism: number, chunkBytes: number): Promise<void> {
    await this.inParallel(database, parallelism, chunkBytes, async () => {
      const client = new pg.Client({ connectionString: this.url(database) });
      await client.connect();
      return {
        copy: (piece) =>
          pipeline(
            client.query(copyTo(copyOf(piece))),
            new Writable({ write: (_chunk, _encoding, done) => done() }),
          ),
        end: () => client.end(),
      };
    });
  }

  private async inParallel(
    database: string,
    parallelism: number,
    chunkBytes: number,
    open: () => Reader | Promise<Reader>,
  ): Promise<void> {
    const pieces = await this.pieces(database, chunkBytes);
    const reader = async (): Promise<void> => {
      const reader = await open();
      for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) await reader.copy(piece);
      await reader.end();
    };
    await Promise.all(Array.from({ length: parallelism }, reader));
  }

  private async pieces(database: string, chunkBytes: number): Promise<string[]> {
    const client = new pg.Client({ connectionString: this.url(database) });
    await client.connect();
    try {
      const { rows } = await client.query<{ name: string; blocks: number }>(
        `SELECT oid::regclass::text AS name, (pg_relation_size(oid) / 8192)::int AS blocks
         FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC`,
      );
      const blocksPerPiece = Math.ceil(chunkBytes / 8192);
      return rows.flatMap(({ name, blocks }) =>
        Array.from({ length: Math.max(1, Math.ceil(blocks / blocksPerPiece)) }, (_, piece) => {
          const from = piece * blocksPerPiece;
          return `SELECT * FROM ${name} WHERE ctid >= '(${from},0)' AND ctid < '(${from + blocksPerPiece},0)'`;
        }),
      );
    } finally {
      await client.end();
    }
  }

  private run(
    program: string,
    args: readonly string[],
    isHarmless: (errors: string) => boolean = () => false,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const child = spawn(join(this.binDirectory, program), args, { stdio: ['ignore', 'ignore', 'pipe'] });
      let errors = '';
      child.stderr.on('data', (text) => {
        errors += text;
      });
      child.once('error', reject);
      child.once('close', (code) =>
        code === 0 || (code === 1 && isHarmless(errors))
          ? resolve()
          : reject(new Error(`${program} ended with ${code}: ${errors.slice(0, 2_000)}`)),
      );
    });
  }
}

/** @param errors what pg_restore wrote to stderr */
function isNewerParameterAlone(errors: string): boolean {
  const failed = errors.split('\n').filter((line) => line.includes('error:'));
  return failed.every((line) => line.includes('unrecognized configuration parameter "transaction_timeout"'));
}
