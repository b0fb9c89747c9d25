import type { LogicalReadPoint } from '../../../../model/backup.ts';
import type { YsqlSource } from '../../../../model/pipeline.ts';
import type { Server } from '../server.ts';
import { type FoundProgram, findProgram } from './find.ts';
import { takesOption } from './options.ts';

/** How one product's dump program is asked for a schema. */
export interface DumpDriver {
  readonly program: FoundProgram;
  /** What every dump of a schema is asked for with. */
  commonOptions(): Promise<readonly string[]>;
  /** The options for a dump of `database` as of the read point; undefined where the program can only dump the present. */
  readPointOptions(readPoint: LogicalReadPoint, database: string): Promise<readonly string[] | undefined>;
}

/**
 * The driver of the program that dumps `server`: its own product's, or pg_dump where the plan says so.
 *
 * @throws HoldfastError as `findProgram`
 */
export async function dumpDriver(
  server: Server,
  wanted: YsqlSource['dumpProgram'] | undefined,
): Promise<DumpDriver> {
  if (server.product === 'yugabytedb' && wanted !== 'pg_dump')
    return yugabyteDriver(await findProgram('dump', server));
  return postgresDriver(await findProgram('dump', server, 'postgresql'));
}

/**
 * What a schema of YugabyteDB loses when `pg_dump` dumps it, in words (docs/yugabytedb.md, M1); nothing for any other dump.
 */
export function lossesOfStockDump(
  server: Server,
  wanted: YsqlSource['dumpProgram'] | undefined,
): readonly string[] {
  if (server.product !== 'yugabytedb' || wanted !== 'pg_dump') return [];
  return [
    'order and sharding of primary keys and indexes (HASH, ASC, DESC): pg_dump writes none, so the target hashes the first column',
    'colocation and tablegroups: pg_dump writes none, so every table gets tablets of its own',
    'tablets that tables are split into: pg_dump writes none, so the target chooses',
  ];
}

/** YugabyteDB's `ysql_dump`. Sources of what it does are in docs/yugabytedb.md: M2, M3, M4. */
function yugabyteDriver(program: FoundProgram): DumpDriver {
  return {
    program,
    // Statistics are of the server's own making, and a target may lack the functions that set them.
    commonOptions: async () => ((await takesOption(program, '--no-statistics')) ? ['--no-statistics'] : []),
    async readPointOptions(readPoint, database) {
      if (readPoint.kind === 'pg-snapshot') {
        // Its transaction is serializable by default, and a serializable transaction imports no snapshot.
        return [`--snapshot=${readPoint.snapshots[database]}`, '--no-serializable-deferrable'];
      }
      if (readPoint.kind === 'yb-read-time' && (await takesOption(program, '--read-time=1'))) {
        return [`--read-time=${readPoint.micros}`];
      }
      return undefined;
    },
  };
}

/** PostgreSQL's `pg_dump`. */
function postgresDriver(program: FoundProgram): DumpDriver {
  return {
    program,
    commonOptions: async () => [],
    async readPointOptions(readPoint, database) {
      return readPoint.kind === 'pg-snapshot' ? [`--snapshot=${readPoint.snapshots[database]}`] : undefined;
    },
  };
}
