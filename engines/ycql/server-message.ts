import { errors, types } from 'cassandra-driver';
import { messageOf } from '../../model/errors.ts';
import { SHOW_VALUES, showValues } from '../show-values.ts';

const CODES = types.responseErrorCodes;

/**
 * What the text of an error can quote. `names`: only names and numbers, since the statement is a definition or asks the catalogue. `values`: values
 * of rows and secrets, since the statement carries them.
 */
export type Carried = 'names' | 'values';

/** Replaces a server's text that may hold values of rows. */
export const WITHHELD = 'its text is withheld, since it may hold values of rows';

/** Codes whose text the server words freely. The texts of all others contain only nodes, replicas, roles and names. */
const FREE_WORDS: ReadonlyMap<number | undefined, string> = new Map([
  [CODES.invalid, 'Invalid'],
  [CODES.syntaxError, 'Syntax error'],
  [CODES.serverError, 'Server error'],
  [CODES.protocolError, 'Protocol error'],
  [0x1400, 'Function failure'],
]);

/**
 * The part of a server's error that may be reported, since reports go into history, logs, webhooks and stdout. Cassandra quotes the key of a row
 * that is too large ("Encountered an oversized mutation … Top keys are: …"), a constant of the wrong type, and what it can't parse as JSON.
 * YugabyteDB repeats the statement. So for a statement that carries values, only texts known to hold none are reported.
 */
export function tellable(error: unknown, carried: Carried): string {
  const said = messageOf(error) || String(error);
  const kind = error instanceof errors.ResponseError ? FREE_WORDS.get(error.code) : undefined;
  if (carried === 'names' || kind === undefined || !(error instanceof errors.ResponseError)) return said;
  showValues(() => JSON.stringify({ code: error.code, said }));
  const harmless = harmlessPart(said);
  const code = `0x${error.code.toString(16).padStart(4, '0')}`;
  return harmless === undefined ? `${kind} (${code}; ${WITHHELD})` : `${harmless} (${code})`;
}

/** The remedy if the text was withheld. */
export const TO_SEE_IT = `Run it again with ${SHOW_VALUES}=1 in the worker’s environment: the worker then writes the server’s full words to its own stderr.`;

/** Whether the server refused a statement for its size. */
export function isTooLarge(error: unknown): boolean {
  if (!(error instanceof errors.ResponseError)) return false;
  return /oversized mutation \(\d+\/\d+\)|Request is too big: length \d+/.test(error.message);
}

/** Texts that contain only names of objects and sizes. */
const HARMLESS: readonly RegExp[] = [
  /^unconfigured table \S+$/i,
  /^(?:keyspace|table) \S+ does not exist$/i,
  /^Undefined column name .{1,100} in table \S{1,100}$/,
  /^Batch too large$/i,
  /^Expected (?:\d+ or )?\d+ bytes? \w+ \(\d+\)$/,
  /^Key (?:may not be empty|length of \d+ is longer than maximum of \d+)$/,
  /^String didn't validate\.$/,
  // YugabyteDB's names of errors. The text after them may repeat the statement.
  /^(?:Object Not Found|Datatype Mismatch|Invalid Arguments|Invalid CQL Statement|Execution Error|Unauthorized)(?=\.|\n|$)/,
];

function harmlessPart(said: string): string | undefined {
  const oversized = /oversized mutation \((\d+)\/(\d+)\)/.exec(said);
  if (oversized !== null)
    return `a row makes a mutation of ${oversized[1]} bytes, and the server takes ${oversized[2]} (\`max_mutation_size\` of cassandra.yaml)`;
  const request =
    /^(?:ResponseError: )?Request is too big: length (\d+) exceeds maximum allowed length (\d+)/.exec(said);
  if (request !== null)
    return `a request has ${request[1]} bytes, and the server takes ${request[2]} (\`native_transport_max_frame_size\` of cassandra.yaml)`;
  for (const pattern of HARMLESS) {
    const found = pattern.exec(said);
    if (found !== null) return found[0];
  }
  return undefined;
}
