import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FactId } from '../../facts/facts.ts';
import type { ClientLine } from '../client-lines.ts';
import { asYsqlDump, type DumpRequest } from '../dump-text.ts';
import { Answer, type Rewording, reworded } from './answer.ts';
import { type Argument, has, lastValue, parseArguments, words } from './arguments.ts';
import { environmentOf } from './environment.ts';
import { placementOf } from './placement.ts';
import { run } from './run.ts';
import { sequenceValues } from './sequence-values.ts';
import type { Call, Said } from './stand-in.ts';

/** Options of YugabyteDB's fork: in which lines they are known, and whether help names them. */
export const OWN_OPTIONS: Readonly<
  Record<string, { readonly fact: FactId; known(line: ClientLine): boolean }>
> = {
  '--include-yb-metadata': { fact: 'dump.metadata', known: () => true },
  '--no-serializable-deferrable': { fact: 'dump.serializable', known: () => true },
  '--masters': { fact: 'dump.own-options', known: () => true },
  '-m': { fact: 'dump.own-options', known: () => true },
  '--no-tablegroups': { fact: 'dump.own-options', known: () => true },
  '--no-tablegroup-creations': { fact: 'dump.own-options', known: () => true },
  '--read-time': { fact: 'dump.read-time', known: ({ readTime }) => readTime },
  '--dump-role-checks': { fact: 'dump.role-checks', known: ({ roleChecks }) => roleChecks },
  '--no-statistics': { fact: 'dump.statistics', known: ({ statistics }) => statistics },
};

/** Runs `pg_dump` as `ysql_dump` of the call's line: its options, its host, its isolation, its text. Throws `Answer`. */
export async function ysqlDump(call: Call): Promise<Said> {
  const { line } = call;
  const args = parseArguments(call.words);
  for (const { option } of args) {
    if (option === undefined) continue;
    const own = OWN_OPTIONS[option];
    if ((own !== undefined && !own.known(line)) || ['--version', '--help', '-V', '-?'].includes(option)) {
      throw unknownOption(call, option, args);
    }
  }
  const request = requestOf(line, args);
  if (request.roleChecks && !request.metadata) {
    throw new Answer(
      'dump.role-checks',
      1,
      'ysql_dump: error: option --dump-role-checks requires option --include-yb-metadata\n',
    );
  }
  const file = lastValue(args, '--file', '-f');
  const format = lastValue(args, '--format', '-F') ?? 'plain';
  const environment = dumpEnvironment(call, args);
  const kept = args.filter(({ option }) => option === undefined || !(option in OWN_OPTIONS));
  const plain = format.startsWith('p');
  const passed = [
    '-w',
    // The real one takes this host unless it is told another; a URL in --dbname goes before it.
    ...(line.readsHostVariable || has(args, '--host', '-h') ? [] : ['--host=localhost']),
    ...(has(args, '--no-serializable-deferrable', '--serializable-deferrable')
      ? []
      : ['--serializable-deferrable']),
    ...words(kept.filter(({ option }) => !plain || !['--file', '-f', '--section'].includes(option ?? ''))),
    // The text of one section rests on the other: the real program writes primary keys where tables are.
    ...(plain && has(args, '--section') ? wholeSchema(request) : []),
  ];
  const ended = await run(join(call.postgresBin, 'pg_dump'), passed, environment, 'ignore');
  const stderr = reworded(ended.stderr, wordsOf(call, args));
  if (ended.code !== 0 || !plain) return { code: ended.code, stdout: ended.stdout, stderr };
  const sequences =
    request.metadata && !request.sections.includes('data')
      ? await sequenceValues(call, passed, environment)
      : '';
  const placement = await placementOf(call, passed, environment);
  const script = asYsqlDump(ended.stdout.toString() + sequences, line, request, placement);
  if (file === undefined) return { code: 0, stdout: script, stderr };
  await writeFile(file, script);
  return { code: 0, stdout: '', stderr };
}

function wholeSchema({ sections }: DumpRequest): readonly string[] {
  return ['pre-data', ...sections.filter((section) => section === 'data'), 'post-data'].map(
    (section) => `--section=${section}`,
  );
}

function requestOf(line: ClientLine, args: readonly Argument[]): DumpRequest {
  const named = args.flatMap(({ option, value }) => (option === '--section' ? [value] : []));
  const all = ['pre-data', 'data', 'post-data'] as const;
  const schemaOnly = has(args, '--schema-only', '-s');
  const dataOnly = has(args, '--data-only', '-a');
  const sections = all.filter((section) => {
    if (named.length > 0) return named.includes(section);
    if (schemaOnly) return section !== 'data';
    return !dataOnly || section === 'data';
  });
  return {
    metadata: has(args, '--include-yb-metadata'),
    roleChecks: has(args, '--dump-role-checks'),
    statistics: line.statistics && !schemaOnly && !dataOnly && !has(args, '--no-statistics'),
    sections,
  };
}

function dumpEnvironment(call: Call, args: readonly Argument[]): NodeJS.ProcessEnv {
  const readTime = lastValue(args, '--read-time');
  if (readTime !== undefined && !/^\d+$/.test(readTime)) {
    throw new Answer(
      'dump.read-time',
      1,
      'ysql_dump: error: read-time must be in Unix timestamp in microseconds. Ex: 1694679081741370\n',
    );
  }
  const environment = environmentOf(call, {
    ...(has(args, '--include-yb-metadata') ? METADATA_SETTINGS.settings : {}),
    ...(readTime === undefined ? {} : { ...READ_TIME_SETTINGS.settings, yb_read_time: readTime }),
  });
  if (call.line.readsHostVariable) return environment;
  const { PGHOST: _, PGHOSTADDR: __, ...without } = environment;
  return without;
}

const METADATA_SETTINGS = {
  fact: 'dump.metadata',
  settings: { yb_format_funcs_include_yb_metadata: 'on' },
} as const satisfies Settings;

const READ_TIME_SETTINGS = {
  fact: 'dump.read-time-settings',
  settings: { yb_disable_catalog_version_check: 'on' },
} as const satisfies Settings;

interface Settings {
  readonly fact: FactId;
  readonly settings: Readonly<Record<string, string>>;
}

function unknownOption(call: Call, option: string, args: readonly Argument[]): Answer {
  const value = args.find((argument) => argument.option === option)?.value;
  const written = value === undefined ? option : `${option}=${value}`;
  const prefix = call.line.major === 11 ? '' : 'ysql_dump: hint: ';
  return new Answer(
    'dump.unknown-option',
    1,
    `${call.path}: unrecognized option '${written}'\n${prefix}Try "ysql_dump --help" for more information.\n`,
  );
}

/** What `pg_dump` says, in the words of the line. */
function wordsOf(call: Call, args: readonly Argument[]): readonly Rewording[] {
  const database = lastValue(args, '--dbname', '-d') ?? call.environment.PGDATABASE ?? '';
  const named: readonly Rewording[] = [
    { fact: 'dump.unknown-option', from: /^\S*\/pg_dump: (?=unrecognized option)/gm, to: `${call.path}: ` },
    { fact: 'dump.banner', from: /pg_dump/g, to: 'ysql_dump' },
  ];
  if (call.line.major === 15) return named;
  return [
    {
      fact: 'dump.old-connection-texts',
      from: /^pg_dump: error: connection to server at ("[^"]*" \([^)]*\)), port (\d+) failed: Connection refused\n\s+Is the server .*$/gm,
      to: `pg_dump: [archiver (db)] connection to database "${database}" failed: could not connect to server: Connection refused\n\tIs the server running on host $1 and accepting\n\tTCP/IP connections on port $2?`,
    },
    {
      fact: 'dump.old-connection-texts',
      from: /^pg_dump: error: connection to server at .*? failed: (?=FATAL|fe_sendauth)/gm,
      to: `pg_dump: [archiver (db)] connection to database "${database}" failed: `,
    },
    ...named,
  ];
}
