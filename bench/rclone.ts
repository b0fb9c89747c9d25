import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import type { startS3Gateway } from '../parts/s3.ts';
import { executableOf, type Tool } from '../parts/tools.ts';

const RCLONE: Tool = {
  name: 'rclone',
  version: 'v1.71.2',
  goPackage: 'github.com/rclone/rclone',
  binary: 'rclone',
  pathName: 'rclone',
  buildTime: 'about 6 minutes on 2 cores',
  packages: 900,
};

/** rclone, the peer that copies folders to an S3 gateway; from PATH or built once. */
export class Rclone {
  readonly #executable: string;
  readonly #config: string;
  readonly #bucket: string;
  readonly #concurrency: number;

  private constructor(executable: string, config: string, bucket: string, concurrency: number) {
    this.#executable = executable;
    this.#config = config;
    this.#bucket = bucket;
    this.#concurrency = concurrency;
  }

  /** @param config path of the configuration file to write  @param bucket must exist  @param concurrency files at once */
  static async configured(
    config: string,
    gateway: Pick<Awaited<ReturnType<typeof startS3Gateway>>, 'endpoint' | 'accessKeyId' | 'secretAccessKey'>,
    { bucket, concurrency }: { readonly bucket: string; readonly concurrency: number },
  ): Promise<Rclone> {
    const { endpoint, accessKeyId, secretAccessKey } = gateway;
    await writeFile(
      config,
      `[s3]\ntype = s3\nprovider = Other\nendpoint = ${endpoint}\naccess_key_id = ${accessKeyId}\nsecret_access_key = ${secretAccessKey}\nregion = us-east-1\n`,
      { mode: 0o600 },
    );
    return new Rclone(await executableOf(RCLONE), config, bucket, concurrency);
  }

  async version(): Promise<string> {
    return (await this.#run(['version'])).split('\n')[0] ?? '';
  }

  /** Copies a folder into the bucket; returns the seconds that it took. */
  async copy(folder: string): Promise<number> {
    const startedAt = performance.now();
    const atOnce = [`--transfers=${this.#concurrency}`, `--checkers=${this.#concurrency}`];
    await this.#run(['copy', folder, `s3:${this.#bucket}`, ...atOnce]);
    return (performance.now() - startedAt) / 1_000;
  }

  /** Empties the bucket. */
  async clear(): Promise<void> {
    await this.#run(['delete', `s3:${this.#bucket}`]);
  }

  async #run(args: readonly string[]): Promise<string> {
    // Debian's rclone fails to read the file that this variable may name.
    const { AWS_CA_BUNDLE: _, ...env } = process.env;
    const { stdout } = await promisify(execFile)(this.#executable, [...args, '--config', this.#config], {
      env,
    });
    return stdout;
  }
}
