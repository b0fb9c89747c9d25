import { permanent } from '../../model/errors.ts';
import { type FoundProgram, findProgram } from '../ysql/server/programs/find.ts';
import { takesOption } from '../ysql/server/programs/options.ts';
import type { Server } from '../ysql/server/server.ts';

/** How to run `ysql_dump` so that `import_snapshot` finds the tables of the schema. */
interface MetadataDump {
  readonly program: FoundProgram;
  /** Whether the schema can be taken as of an instant. */
  readonly takesReadTime: boolean;
  /** @param instant microseconds since 1970; undefined for the present. */
  options(instant: string | undefined): readonly string[];
}

/**
 * The program that dumps a universe's schemas. It must be YugabyteDB's own, since it writes the OIDs and tablet boundaries by which an import finds
 * tables. If the program can, it writes checks for roles, since the universe that is restored to may lack some (docs/yugabytedb.md, M7).
 *
 * @throws HoldfastError as `findProgram`; `DUMP_PROGRAM_NO_METADATA` (permanent)
 */
export async function metadataDump(server: Server): Promise<MetadataDump> {
  const program = await findProgram('dump', server, 'yugabytedb');
  const takes = (option: string) => takesOption(program, option);
  if (!(await takes('--include-yb-metadata'))) {
    throw permanent(
      'DUMP_PROGRAM_NO_METADATA',
      `${program.path} (${program.version}) can't dump YugabyteDB's metadata, without which a snapshot can't be imported`,
      'Install ysql_dump of the universe’s release.',
    );
  }
  const wanted = ['--no-statistics', '--dump-role-checks'];
  const known: string[] = [];
  for (const option of wanted) if (await takes(option)) known.push(option);
  const takesReadTime = await takes('--read-time=1');
  return {
    program,
    takesReadTime,
    options: (instant) => [
      '--schema-only',
      '--create',
      '--serializable-deferrable',
      '--include-yb-metadata',
      ...known,
      ...(instant === undefined ? [] : [`--read-time=${instant}`]),
    ],
  };
}
