/*
 * What the archive needs to know of a message of `pgoutput`, protocol version 1 (PostgreSQL's documentation, "Logical Replication
 * Message Formats"). Rows aren't looked into: messages are stored as they came.
 */

const BEGIN = 'B'.charCodeAt(0);
const COMMIT = 'C'.charCodeAt(0);
const RELATION = 'R'.charCodeAt(0);
const TYPE = 'Y'.charCodeAt(0);
const INSERT = 'I'.charCodeAt(0);
const UPDATE = 'U'.charCodeAt(0);
const DELETE = 'D'.charCodeAt(0);
const TRUNCATE = 'T'.charCodeAt(0);

/** PostgreSQL counts microseconds from the beginning of 2000. */
const POSTGRES_EPOCH_MICROS = 946_684_800_000_000;

export type Message =
  | { readonly kind: 'begin'; readonly commitPosition: bigint }
  | { readonly kind: 'commit'; readonly endPosition: bigint; readonly micros: number }
  | { readonly kind: 'relation'; readonly relation: number }
  | { readonly kind: 'type'; readonly type: number }
  | { readonly kind: 'change'; readonly relations: readonly number[] }
  | { readonly kind: 'other' };

export function parseMessage(message: Buffer): Message {
  switch (message[0]) {
    case BEGIN:
      return { kind: 'begin', commitPosition: message.readBigUInt64BE(1) };
    case COMMIT:
      // Type, flags, position of the commit record, position behind it, time.
      return {
        kind: 'commit',
        endPosition: message.readBigUInt64BE(10),
        micros: Number(message.readBigInt64BE(18)) + POSTGRES_EPOCH_MICROS,
      };
    case RELATION:
      return { kind: 'relation', relation: message.readUInt32BE(1) };
    case TYPE:
      return { kind: 'type', type: message.readUInt32BE(1) };
    case INSERT:
    case UPDATE:
    case DELETE:
      return { kind: 'change', relations: [message.readUInt32BE(1)] };
    case TRUNCATE: {
      const count = message.readUInt32BE(1);
      const relations = Array.from({ length: count }, (_, at) => message.readUInt32BE(6 + 4 * at));
      return { kind: 'change', relations };
    }
    default:
      return { kind: 'other' };
  }
}
