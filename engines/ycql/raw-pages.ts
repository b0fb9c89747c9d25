import { createRequire } from 'node:module';
import { Client, type ClientOptions, policies, type types } from 'cassandra-driver';
import { permanent } from '../../model/errors.ts';
import { isSystemKeyspace } from '../../model/system-keyspaces.ts';
import { freeIfAlone } from '../../repository/free-memory.ts';
import { int32 } from './bytes.ts';

/*
 * The one place that knows the driver's internals. Pages of rows should come as they are in the frame: decoding each cell costs about twelve times
 * the CPU of everything else, and the stock decoder can't read YCQL's JSONB (type 0x80) at all. The driver has no option for that, so
 * `Parser.prototype.parseRows` of `cassandra-driver/lib/streams.js` is wrapped, only for clients that ask for it. Hence the exact version in
 * package.json. Each client tests it when it connects, and otherwise falls back.
 */

/** A page of rows as the server sent it. The body may share memory with other data that the socket read, so use it at once, or copy it. */
export interface RawPage {
  readonly rows: number;
  /** rows × columns × [int32 length | bytes] */
  readonly body: Buffer;
  /** The body's memory holds nothing else, so its last user may free it. */
  readonly ownsMemory: boolean;
  readonly columns: readonly RawColumn[];
  readonly pageState: string | undefined;
}

interface RawColumn {
  readonly name: string;
  /** The option of the CQL protocol, section 4.2.5.2, e.g. 0x0d; 0x80 is YCQL's JSONB. */
  readonly typeCode: number;
}

/**
 * `page`: whole pages as they are. `cells`: undecoded cells, joined again (slower). `decoded`: as the driver does it. Rows of the server's own
 * keyspaces are decoded, except in the two `all` modes, which the self-test uses.
 */
type Mode = 'page' | 'cells' | 'decoded' | 'all' | 'all-cells';

/** Part of a client's options. The driver copies those, but a function in them stays the same. */
interface MarkedEncoding {
  readonly holdfastMode?: () => Mode;
}

interface FrameInfo {
  readonly header: { readonly bodyLength: number };
  readonly byRow?: boolean;
  readonly flagsInfo: unknown;
  readonly meta: { readonly keyspace?: string; readonly columns: readonly { readonly ksname?: string }[] };
}

interface FrameReader {
  readonly buf: Buffer;
  offset: number;
  readInt(): number;
  slice(begin: number, end: number): Buffer;
}

/** A piece of what the socket read. Once the frame is whole, its body begins at `offset` of `chunk`, and other frames may follow. */
interface FrameItem {
  readonly offset: number;
}

interface StreamParser {
  readonly encoder: { readonly encodingOptions: MarkedEncoding; decode(buffer: Buffer | null): unknown };
  push(item: unknown): void;
  /** Set by Holdfast: the piece that `parseRows` reads. */
  holdfastItem?: FrameItem;
  /** Set by Holdfast: the last frame that was joined from several pieces. */
  holdfastFrame?: Buffer;
}

/** What the socket read of one frame so far. */
interface FrameBuffers {
  readonly buffers: readonly Buffer[];
}

type ParseBody = (this: StreamParser, frame: FrameInfo, item: FrameItem) => void;
type GetFrameBuffer = (this: StreamParser, frame: FrameBuffers, item: FrameItem) => Buffer;
type ParseRows = (this: StreamParser, frame: FrameInfo, reader: FrameReader) => void;

interface ParserPrototype {
  parseBody: ParseBody;
  getFrameBuffer: GetFrameBuffer;
  parseRows: ParseRows;
}

let installed: string | undefined;
let isInstalled = false;

/** Wraps the driver's parser, once in a process. Returns why that can't be done; undefined if it was. */
function install(): string | undefined {
  if (isInstalled) return installed;
  isInstalled = true;
  try {
    const streams: { Parser?: { prototype: Partial<ParserPrototype> } } = createRequire(import.meta.url)(
      'cassandra-driver/lib/streams.js',
    );
    const prototype = streams.Parser?.prototype ?? {};
    const { parseBody, parseRows: original, getFrameBuffer } = prototype;
    if (parseBody === undefined || original === undefined || getFrameBuffer === undefined) {
      installed = 'the driver has no Parser.parseBody, Parser.parseRows and Parser.getFrameBuffer any more';
      return installed;
    }
    prototype.getFrameBuffer = function frameOf(frame, item) {
      const pieces = frame.buffers;
      const whole = getFrameBuffer.call(this, frame, item);
      // The first and the last piece may also hold parts of other frames; those between are this frame's alone. Over TLS a piece may lie in memory
      // that Node shares.
      for (const piece of pieces.slice(1, -1)) freeIfAlone(piece);
      this.holdfastFrame = whole;
      return whole;
    };
    prototype.parseBody = function bodyOf(frame, item) {
      this.holdfastItem = item;
      parseBody.call(this, frame, item);
    };
    prototype.parseRows = function parseRows(frame, reader) {
      switch (modeFor(this, frame)) {
        case 'decoded':
          return original.call(this, frame, reader);
        case 'cells':
          return withoutDecoding(this, () => original.call(this, frame, reader));
        case 'page': {
          const rows = reader.readInt();
          const body = reader.slice(
            reader.offset,
            (this.holdfastItem?.offset ?? 0) + frame.header.bodyLength,
          );
          return this.push({
            header: frame.header,
            result: {
              rows: rows === 0 ? [] : [{ rows, body, ownsMemory: reader.buf === this.holdfastFrame }],
              meta: frame.meta,
              flags: frame.flagsInfo,
            },
          });
        }
      }
    };
  } catch (error) {
    installed = error instanceof Error ? error.message : String(error);
  }
  return installed;
}

function modeFor(parser: StreamParser, frame: FrameInfo): 'page' | 'cells' | 'decoded' {
  const mode = parser.encoder?.encodingOptions?.holdfastMode?.();
  if (mode === undefined || mode === 'decoded' || frame.byRow === true) return 'decoded';
  if (mode === 'all') return 'page';
  if (mode === 'all-cells') return 'cells';
  const keyspace = frame.meta.keyspace ?? frame.meta.columns[0]?.ksname;
  return keyspace === undefined || isSystemKeyspace(keyspace) ? 'decoded' : mode;
}

function withoutDecoding(parser: StreamParser, work: () => void): void {
  const { encoder } = parser;
  const stock = encoder.decode;
  encoder.decode = (buffer) => buffer;
  try {
    work();
  } finally {
    encoder.decode = stock;
  }
}

/**
 * Connects a client that returns rows of users' keyspaces undecoded. Calls `warn` if only the slow way works. Throws what connecting failed with,
 * or `YCQL_DRIVER` (permanent) if this driver gives no undecoded rows at all.
 */
export async function connectRawClient(
  options: ClientOptions,
  warn: (message: string) => void,
): Promise<Client> {
  const broken = install();
  const switchable: { mode: Mode } = { mode: 'decoded' };
  const encoding: ClientOptions['encoding'] & MarkedEncoding = {
    ...options.encoding,
    holdfastMode: () => switchable.mode,
  };
  const client = new Client({
    ...options,
    encoding,
    policies: { ...options.policies, timestampGeneration: serversTime() },
  });
  await client.connect();
  try {
    if (broken === undefined && (await passesSelfTest(client, switchable, 'all'))) {
      switchable.mode = 'page';
      return client;
    }
    warn(
      `cassandra-driver is not as Holdfast knows it (${broken ?? 'a page did not come as it should'}): rows are read cell by cell, which costs more CPU`,
    );
    if (broken === undefined && (await passesSelfTest(client, switchable, 'all-cells'))) {
      switchable.mode = 'cells';
      return client;
    }
  } catch (error) {
    await client.shutdown();
    throw error;
  }
  await client.shutdown();
  throw permanent(
    'YCQL_DRIVER',
    'This version of cassandra-driver gives no access to undecoded rows',
    'Install Holdfast with the versions of its lock file (cassandra-driver 4.10.0).',
  );
}

/** Makes the server set write times; by default the client sends its own. The driver accepts `null`, which its types don't allow. */
function serversTime(): policies.timestampGeneration.TimestampGenerator {
  const generator = new policies.timestampGeneration.MonotonicTimestampGenerator(0, 0);
  Reflect.set(generator, 'next', () => null);
  return generator;
}

const SELF_TEST = 'SELECT cluster_name, data_center, cql_version FROM system.local';

/** Whether the undecoded page equals the decoded row. */
async function passesSelfTest(client: Client, switchable: { mode: Mode }, mode: Mode): Promise<boolean> {
  switchable.mode = 'decoded';
  const decoded = (await client.execute(SELF_TEST)).rows[0];
  switchable.mode = mode;
  try {
    const { rows, body } = rawPageOf(await client.execute(SELF_TEST));
    const texts = ['cluster_name', 'data_center', 'cql_version'].map((name) =>
      Buffer.from(String(decoded?.[name])),
    );
    const expected = Buffer.concat(texts.flatMap((text) => [int32(text.length), text]));
    return rows === 1 && body.equals(expected);
  } catch {
    return false; // that is what the test is for
  } finally {
    switchable.mode = 'decoded';
  }
}

/** The page in a result of a client from `connectRawClient`. */
export function rawPageOf(result: types.ResultSet): RawPage {
  const columns = (result.columns ?? []).map(({ name, type }) => ({ name, typeCode: type.code }));
  const pageState = result.pageState ?? undefined;
  const given: readonly unknown[] = result.rows ?? [];
  const [first] = given;
  if (first === undefined) return { rows: 0, body: Buffer.alloc(0), ownsMemory: false, columns, pageState };
  if (isWholePage(first)) return { ...first, columns, pageState };
  const cells = given.flatMap((row) => columns.map(({ name }) => cellOf(row, name)));
  const body = Buffer.concat(
    cells.flatMap((cell) => (cell === null ? [int32(-1)] : [int32(cell.length), cell])),
  );
  return { rows: given.length, body, ownsMemory: true, columns, pageState };
}

function isWholePage(row: unknown): row is Pick<RawPage, 'rows' | 'body' | 'ownsMemory'> {
  return (
    typeof row === 'object' &&
    row !== null &&
    'body' in row &&
    Buffer.isBuffer(row.body) &&
    'rows' in row &&
    typeof row.rows === 'number' &&
    'ownsMemory' in row
  );
}

function cellOf(row: unknown, name: string): Buffer | null {
  const cell = typeof row === 'object' && row !== null ? Reflect.get(row, name) : undefined;
  if (cell === null || Buffer.isBuffer(cell)) return cell;
  throw new TypeError(`the cell ${name} came decoded`);
}
