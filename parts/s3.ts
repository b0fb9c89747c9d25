import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import {
  CreateBucketCommand,
  ListBucketsCommand,
  PutBucketPolicyCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { freePort } from './ports.ts';
import { startServer } from './process.ts';
import { createScratchFolder } from './scratch.ts';
import { executableOf, VERSITYGW } from './tools.ts';

const runTool = promisify(execFile);

const REGION = 'us-east-1';

type S3GatewayOptions = {
  /** Folder whose subfolders are the buckets; it stays after `stop`. Default: a scratch folder. */
  readonly directory?: string;
  readonly port?: number;
  /** The root account's keys; random by default. */
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  /** True: buckets may have object lock, and so versions. */
  readonly versioning?: boolean;
  /** True: there may be accounts besides the root account. */
  readonly users?: boolean;
  /** File that gets one line for each request. */
  readonly accessLog?: string;
};

type S3User = { readonly accessKeyId: string; readonly secretAccessKey: string };

/** An S3 gateway that can be stopped, killed and started again with its objects. */
export type S3Gateway = {
  /** URL for a client with path-style addressing. */
  readonly endpoint: string;
  readonly host: string;
  readonly port: number;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** The folder whose subfolders are the buckets: a test may damage an object there. */
  readonly directory: string;
  readonly logFile: string;
  readonly pid: number | undefined;
  /** Object lock needs a gateway that was started with `versioning`. */
  createBucket(name: string, options?: { readonly objectLock?: boolean }): Promise<void>;
  /** Creates an account that may do only what a bucket's policy allows. Needs `users`. */
  createUser(): Promise<S3User>;
  /** Replaces the bucket's policy. */
  setPolicy(
    bucket: string,
    grants: readonly { readonly user: S3User; readonly statements: readonly PolicyStatement[] }[],
  ): Promise<void>;
  /** Stops the gateway and removes its scratch folder, if it has one. */
  stop(): Promise<void>;
  /** Stops the gateway if it runs, and starts it on the same port with the same objects. */
  restart(): Promise<void>;
  /** `kill -9`. The objects stay, for `restart`. */
  kill9(): Promise<void>;
};

/** A statement of an AWS policy. */
export type PolicyStatement = {
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
};

/**
 * Starts versitygw, an S3 server over a folder, on 127.0.0.1. The folder's file system must have extended attributes (ext4, xfs,
 * btrfs, APFS; tmpfs since Linux 6.6): the gateway keeps an object's metadata there.
 *
 * @throws HoldfastError `TOOL_NEEDS_GO`, `TOOL_BUILD` or `SERVER_START`
 */
export async function startS3Gateway(options: S3GatewayOptions = {}): Promise<S3Gateway> {
  const command = await executableOf(VERSITYGW);
  const scratch = await createScratchFolder('s3');
  try {
    const directory = path.resolve(options.directory ?? path.join(scratch.path, 'buckets'));
    await mkdir(directory, { recursive: true });
    const host = '127.0.0.1';
    const port = options.port ?? (await freePort());
    const endpoint = `http://${host}:${port}`;
    const accessKeyId = options.accessKeyId ?? `test${randomBytes(6).toString('hex')}`;
    const secretAccessKey = options.secretAccessKey ?? randomBytes(16).toString('hex');
    const client = new S3Client({
      endpoint,
      region: REGION,
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
      maxAttempts: 1,
    });
    const server = await startServer({
      name: 'versitygw',
      command,
      args: [
        '--port',
        `${host}:${port}`,
        '--region',
        REGION,
        '--quiet',
        ...(options.accessLog === undefined ? [] : ['--access-log', options.accessLog]),
        ...(options.users === true ? ['--iam-dir', await folderIn(scratch.path, 'accounts')] : []),
        'posix',
        ...(options.versioning === true
          ? ['--versioning-dir', await folderIn(scratch.path, 'versions')]
          : []),
        directory,
      ],
      environment: { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey },
      workingDirectory: scratch.path,
      logFile: path.join(scratch.path, 'versitygw.log'),
      checkReady: async () => {
        await client.send(new ListBucketsCommand({}));
      },
    });
    return {
      endpoint,
      host,
      port,
      region: REGION,
      accessKeyId,
      secretAccessKey,
      directory,
      logFile: server.logFile,
      get pid() {
        return server.pid;
      },
      async createBucket(name, { objectLock = false } = {}) {
        await client.send(
          new CreateBucketCommand({
            Bucket: name,
            ...(objectLock ? { ObjectLockEnabledForBucket: true } : {}),
          }),
        );
      },
      async createUser() {
        const user = {
          accessKeyId: `user${randomBytes(6).toString('hex')}`,
          secretAccessKey: randomBytes(16).toString('hex'),
        };
        await runTool(command, [
          'admin',
          '--access',
          accessKeyId,
          '--secret',
          secretAccessKey,
          '--region',
          REGION,
          '--endpoint-url',
          endpoint,
          'create-user',
          '--access',
          user.accessKeyId,
          '--secret',
          user.secretAccessKey,
          '--role',
          'user',
        ]);
        return user;
      },
      async setPolicy(bucket, grants) {
        const Statement = grants.flatMap(({ user, statements }) =>
          statements.map((statement) => ({ ...statement, Principal: { AWS: [user.accessKeyId] } })),
        );
        const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
        await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
      },
      async stop() {
        client.destroy();
        await server.stop();
        await scratch.remove();
      },
      restart: () => server.restart(),
      kill9: () => server.kill9(),
    };
  } catch (error) {
    await scratch.remove();
    throw error;
  }
}

async function folderIn(parent: string, name: string): Promise<string> {
  const folder = path.join(parent, name);
  await mkdir(folder, { recursive: true });
  return folder;
}
