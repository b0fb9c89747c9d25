import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { S3Gateway } from '../../parts/s3.ts';

/**
 * How a store that claims to be S3 differs from S3:
 *
 * - `ignores-if-none-match`: a put replaces an existing object and answers 200. AWS itself did so until November 2024, and stores that
 *   copied it before that still do.
 * - `checks-no-sums`: it stores bytes whatever checksum came with them.
 * - `lists-late`: listings lack every object written after the front started, as Swift's and S3's own did until December 2020.
 * - `clock-ahead`: listings date objects two hours ahead.
 */
export type S3Vice = 'ignores-if-none-match' | 'checks-no-sums' | 'lists-late' | 'clock-ahead';

export interface S3Front {
  readonly endpoint: string;
  stop(): Promise<void>;
}

const AHEAD_MS = 2 * 3_600_000;

/** Starts a front of a real gateway that has one vice and behaves correctly otherwise. */
export async function startS3Front(gateway: S3Gateway, vice: S3Vice): Promise<S3Front> {
  const client = new S3Client({
    ...{ endpoint: gateway.endpoint, region: gateway.region, forcePathStyle: true },
    credentials: { accessKeyId: gateway.accessKeyId, secretAccessKey: gateway.secretAccessKey },
  });
  const server = createServer((incoming, outgoing) => {
    answer(incoming, outgoing).catch((error: unknown) =>
      outgoing.destroy(error instanceof Error ? error : undefined),
    );
  });

  async function answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await buffer(incoming);
    const url = new URL(incoming.url ?? '/', gateway.endpoint);
    const isPut = incoming.method === 'PUT' && url.search.replace('?x-id=PutObject', '') === '';
    if (isPut && (vice === 'ignores-if-none-match' || vice === 'checks-no-sums')) {
      await put(url, incoming, body, outgoing);
      return;
    }
    // Headers pass unchanged, because the signature covers them, including `host`.
    const { expect: _answeredHere, connection: _hop, ...headers } = incoming.headers;
    const onward = request(url, { method: incoming.method, headers, setHost: false });
    onward.end(body);
    const [response] = (await once(onward, 'response')) as [IncomingMessage];
    let text: Buffer = await buffer(response);
    if (url.searchParams.get('list-type') === '2') text = Buffer.from(bend(text.toString()));
    const { 'content-length': _length, 'transfer-encoding': _encoding, ...sent } = response.headers;
    const length = incoming.method === 'HEAD' ? response.headers['content-length'] : String(text.length);
    outgoing.writeHead(response.statusCode ?? 502, {
      ...sent,
      ...(length === undefined ? {} : { 'content-length': length }),
    });
    outgoing.end(text);
  }

  /** Forwards the object in a new request of the front, without the headers that the vice ignores. */
  async function put(
    url: URL,
    incoming: IncomingMessage,
    body: Buffer,
    outgoing: ServerResponse,
  ): Promise<void> {
    const [, bucket = '', ...key] = decodeURIComponent(url.pathname).split('/');
    const condition = incoming.headers['if-none-match'];
    const sum = incoming.headers['x-amz-checksum-sha256'];
    const isUnconditional = vice === 'ignores-if-none-match' || condition === undefined;
    try {
      const { ETag } = await client.send(
        new PutObjectCommand({
          ...{ Bucket: bucket, Key: key.join('/'), Body: body },
          ...(isUnconditional ? {} : { IfNoneMatch: String(condition) }),
          ...(vice === 'checks-no-sums' || sum === undefined ? {} : { ChecksumSHA256: String(sum) }),
        }),
      );
      outgoing.writeHead(200, { etag: ETag ?? '""' }).end();
    } catch (error) {
      const name = error instanceof Error ? error.name : 'InternalError';
      const status = name === 'PreconditionFailed' ? 412 : 400;
      const xml = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${name}</Code><Message>told by the gateway</Message></Error>`;
      outgoing.writeHead(status, { 'content-type': 'application/xml' }).end(xml);
    }
  }

  function bend(listing: string): string {
    switch (vice) {
      case 'lists-late':
        return listing.replaceAll(/<Contents>.*?<\/Contents>/gs, '').replace(/<KeyCount>\d+/, '<KeyCount>0');
      case 'clock-ahead':
        return listing.replaceAll(/(?<=<LastModified>)[^<]+/g, (time) =>
          new Date(Date.parse(time) + AHEAD_MS).toISOString(),
        );
      default:
        return listing;
    }
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    async stop() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      client.destroy();
    },
  };
}
