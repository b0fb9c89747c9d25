import type { LogicalReadPoint } from '../../../../model/backup.ts';
import type { YsqlSource } from '../../../../model/pipeline.ts';
import type { Server } from '../server.ts';
import { type FoundProgram, findProgram } from './find.ts';
import { takesOption } from './options.ts';

/** The options by which one product's dump program dumps a schema. */
export interface DumpDriver {
  readonly program: FoundProgram;
  /** The options for every schema dump. */
  commonOptions(): Promise<readonly string[]>;
  /** The options for a dump of `database` at the read point; undefined when the program can only dump the present. */
  readPointOptions(readPoint: LogicalReadPoint, database: string): Promise<readonly string[] | undefined>;
}

/**
 * Returns the driver of the program that dumps `server`: the program of its own product, or pg_dump when the plan says so.
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

/** Describes what a schema of YugabyteDB loses when `pg_dump` dumps it (docs/yugabytedb.md, M1); empty for any other dump. */
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

/** YugabyteDB's `ysql_dump`. The sources for its behaviour are in docs/yugabytedb.md: M2, M3, M4. */
function yugabyteDriver(program: FoundProgram): DumpDriver {
  return {
    program,
    // Leave out statistics: the target gathers its own, and it may lack the functions that set them.
    commonOptions: async () => ((await takesOption(program, '--no-statistics')) ? ['--no-statistics'] : []),
    async readPointOptions(readPoint, database) {
      if (readPoint.kind === 'pg-snapshot') {
        // By default its transaction is serializable, which can't import a snapshot.
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
