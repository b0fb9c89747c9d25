import { type HoldfastError, permanent, recover, transient } from '../../../model/errors.ts';

/** Codes of errors from `yb-admin`, by which callers distinguish cases. */
export const YB_ADMIN = {
  /** This worker has no such program, or can't run it. */
  missing: 'YB_ADMIN_MISSING',
  /** No master answers, or none leads. Transient. */
  unreachable: 'YB_ADMIN_UNREACHABLE',
  /** The call, or the program, took too long. Transient. The operation may have been carried out. */
  timedOut: 'YB_ADMIN_TIMED_OUT',
  /** The program was killed (by the OOM killer, say), or ended without a message. Transient. The operation may have been carried out. */
  killed: 'YB_ADMIN_KILLED',
  /** The universe is doing something that excludes this for now. Transient. */
  busy: 'YB_ADMIN_BUSY',
  /** A snapshot, restoration, schedule, table or database that isn't there (any more). */
  notFound: 'YB_ADMIN_NOT_FOUND',
  /** Nothing to snapshot: the database or keyspace has no table. */
  noTables: 'YB_ADMIN_NO_TABLES',
  /** The object exists, but its state forbids the operation. */
  wrongState: 'YB_ADMIN_WRONG_STATE',
  /** The program doesn't accept the arguments: another version than this driver knows, or a wrong name. */
  usage: 'YB_ADMIN_USAGE',
  /** The program or the universe is too old for the operation. */
  unsupported: 'YB_ADMIN_UNSUPPORTED',
  /** The program succeeded, but this driver doesn't understand its output. */
  unreadable: 'YB_ADMIN_UNREADABLE',
  /** Anything else. */
  failed: 'YB_ADMIN_FAILED',
} as const;

/** The output of an operation. Undefined where this build has no such operation. */
export async function ifKnown(running: Promise<string>): Promise<string | undefined> {
  return await recover(running, YB_ADMIN.unsupported, () => undefined);
}

interface Rule {
  readonly code: (typeof YB_ADMIN)[keyof typeof YB_ADMIN];
  readonly transient: boolean;
  readonly says: RegExp;
  readonly remedy: string;
}

/**
 * The first rule whose words are in the program's output decides. Names and numbers of errors are those of `MasterErrorPB` (master_types.proto).
 * Words are those of `Status` (`<Code> (<file>:<line>): <prefix>: <message>`).
 */
const RULES: readonly Rule[] = [
  {
    code: YB_ADMIN.unsupported,
    transient: false,
    says: /^Invalid operation: |The cluster doesn't support /m,
    remedy: 'Use the yb-admin that came with the universe (HOLDFAST_YB_BIN), or upgrade the universe.',
  },
  {
    code: YB_ADMIN.unreachable,
    transient: true,
    says: /Unable to establish connection to leader master|Could not locate the leader master|No leader master/i,
    remedy:
      'Check the masters in the plan (host:7100), that they run, and the certificates (source.universe.tls) if the universe uses TLS.',
  },
  {
    code: YB_ADMIN.noTables,
    transient: false,
    says: /No tables found in namespace/,
    remedy: 'There is nothing to snapshot: only the schema can be saved.',
  },
  {
    code: YB_ADMIN.busy,
    transient: true,
    says: /\(master error (?:21|25|26|37)\)|\b(?:TABLE_CREATION_IS_IN_PROGRESS|PARALLEL_SNAPSHOT_OPERATION|SNAPSHOT_IS_NOT_READY|SPLIT_OR_BACKFILL_IN_PROGRESS)\b|Creating snapshot in progress|is being restored|restoration \S+ is |Timed out waiting for tablet splitting/,
    remedy: 'It is tried again when what the universe is doing has ended.',
  },
  {
    code: YB_ADMIN.busy,
    transient: true,
    says: /\bleader\b[^\n]*\bnot (?:yet )?ready\b|LEADER_NOT_READY|Catalog manager is not (?:yet )?(?:initialized|loaded)|not the leader|NOT_THE_LEADER|Leader not yet ready|CATALOG_MANAGER_NOT_INITIALIZED/i,
    remedy: 'It is tried again when a leader is elected.',
  },
  {
    code: YB_ADMIN.busy,
    transient: true,
    says: /Incorrect number of locations/,
    remedy: 'The tablet was replaced, or has no replica yet: the map of tablets is read again.',
  },
  {
    code: YB_ADMIN.notFound,
    transient: false,
    says: /\(master error (?:3|11|22)\)|\b(?:SNAPSHOT_NOT_FOUND|NAMESPACE_NOT_FOUND|OBJECT_NOT_FOUND)\b|^Error(?: running \S+)?: Not found\b|Could not find snapshot|Unknown schedule|The snapshot was deleted|contained \d+ entries but no entry for snapshot|Namespace '[^\n]*' of type '[^\n]*' not found|Table with (?:id|name) '[^\n]*' not found/m,
    remedy:
      'Look at what there is with yb-admin (list_snapshots, list_namespaces, list_tables): it was removed, or has another name.',
  },
  {
    code: YB_ADMIN.wrongState,
    transient: false,
    says: /\(master error (?:20|23|24)\)|\b(?:SNAPSHOT_FAILED|SNAPSHOT_CANCELLED|INVALID_TABLE_TYPE)\b|^Error(?: running \S+)?: (?:Illegal state|Already present)\b|Wrong (?:database|keyspace) type|Cannot restore at |Cannot delete snapshot/m,
    remedy: "Read the program's message: the state of the object it names must change first.",
  },
  {
    code: YB_ADMIN.timedOut,
    transient: true,
    says: /\bTimed out\b|deadline exceeded/i,
    remedy: 'Check the load of the masters, or raise source.universe.timeout.',
  },
  {
    code: YB_ADMIN.unreachable,
    transient: true,
    says: /\b(?:Network error|Service unavailable|ServiceUnavailable|Remote error)\b|Connection (?:refused|reset)|Resource unavailable/i,
    remedy: 'Check that the masters and tablet servers run and are reachable from this worker.',
  },
  {
    code: YB_ADMIN.usage,
    transient: false,
    says: /Invalid argument|Invalid arguments for operation|Too (?:few|many) arguments|Wrong flag|^Usage: |unknown command line flag/im,
    remedy:
      "Read the program's message; check the names in the plan, and that yb-admin is of the universe's own version.",
  },
];

/** The error for a failed call of `yb-admin`. `said` is its stderr; `operation` names what was asked. */
export function classify(operation: string, said: string): HoldfastError {
  if (said.trim() === '') return ended(operation, 'ended badly');
  const message = `yb-admin ${operation} failed: ${essence(said)}`;
  const rule = RULES.find(({ says }) => says.test(said));
  if (rule === undefined) {
    return permanent(
      YB_ADMIN.failed,
      message,
      "Read the program's message and the log of the leading master.",
    );
  }
  return (rule.transient ? transient : permanent)(rule.code, message, rule.remedy);
}

/** The error for a program that ended without a message. Transient, since nothing says that it would end so again. */
export function ended(operation: string, how: string): HoldfastError {
  return transient(
    YB_ADMIN.killed,
    `yb-admin ${operation} ${how} without a word`,
    'It is tried again. If it happens again, see the worker’s memory (dmesg tells of the OOM killer) and what else ends processes there.',
  );
}

/** The error for a call that succeeded with output that this driver can't read. */
export function unreadable(operation: string, output: string, missing: string): HoldfastError {
  const shown = output.trim().slice(0, SHOWN_CHARACTERS);
  return permanent(
    YB_ADMIN.unreadable,
    `yb-admin ${operation} ended well, but its output has no ${missing}: ${JSON.stringify(shown)}`,
    'Use the yb-admin that came with the universe; if it did, report the output as a defect of Holdfast.',
  );
}

const SHOWN_CHARACTERS = 500;

/** The message itself, without the usage and the lists of operations that follow it. */
function essence(said: string): string {
  const lines = said
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const end = lines.findIndex(
    (line, index) => index > 0 && /^(?:Usage:|Definitions:|Did you mean|Run 'yb-admin)/.test(line),
  );
  return (end < 0 ? lines : lines.slice(0, end)).join(' ').slice(0, SHOWN_CHARACTERS);
}
