import { Repositories } from '../../activities/repositories.ts';
import { checkRepository } from '../../engines/repository-checks.ts';
import { resolveSecret } from '../../engines/resolve-secret.ts';
import type { RepositorySpec } from '../../model/pipeline.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { openStore } from '../../repository/open.ts';
import type { Store } from '../../repository/store.ts';
import { type S3Vice, startS3Front } from '../support/s3-front.ts';

/** Nothing that a store says is trusted: before the first object of a repository is written, a probe proves what every backup rests on. */
describe('the first use of a repository', () => {
  let gateway: S3Gateway;
  const before = { ...process.env };
  beforeAll(async () => {
    gateway = await startS3Gateway();
    process.env.FIRST_USE_KEY = gateway.accessKeyId;
    process.env.FIRST_USE_SECRET = gateway.secretAccessKey;
  });
  afterAll(async () => {
    process.env = before;
    await gateway.stop();
  });

  const repositoryOf = (bucket: string, endpoint: string): RepositorySpec => ({
    name: 'main',
    location: {
      ...{ kind: 's3', bucket, prefix: 'here', region: gateway.region, endpoint, forcePathStyle: true },
      credentials: { accessKeyId: { env: 'FIRST_USE_KEY' }, secretAccessKey: { env: 'FIRST_USE_SECRET' } },
    },
  });
  /** What there is by the gateway's own word. */
  async function keysIn(bucket: string): Promise<readonly string[]> {
    const store: Store = await openStore(repositoryOf(bucket, gateway.endpoint), resolveSecret);
    try {
      return await Array.fromAsync(store.list(''), ({ key }) => key);
    } finally {
      await store.close();
    }
  }

  it.each<[S3Vice, string, RegExp]>([
    ['ignores-if-none-match', 'STORE_UNCONDITIONAL', /honours conditional puts/],
    ['lists-late', 'STORE_LISTS_LATE', /as soon as its put has returned/],
    ['checks-no-sums', 'STORE_UNCHECKED', /x-amz-checksum-sha256/],
    ['clock-ahead', 'CLOCK_OFF', /Set the clocks/],
  ])('is refused over a store that %s, by name, and leaves nothing', async (vice, code, remedy) => {
    await gateway.createBucket(vice);
    const front = await startS3Front(gateway, vice);
    const repositories = new Repositories();
    try {
      const repository = repositoryOf(vice, front.endpoint);
      await expect(repositories.open(repository)).rejects.toMatchObject({
        code,
        transient: false,
        remedy: expect.stringMatching(remedy),
      });
      await expect(keysIn(vice)).resolves.toEqual([]);
      // The doctor says the same, of a repository that was there before this was looked at too.
      const refused = (await checkRepository(repository)).filter(({ ok }) => !ok);
      expect(refused).toEqual([expect.objectContaining({ remedy: expect.stringMatching(remedy) })]);
    } finally {
      await repositories.close();
      await front.stop();
    }
  });

  it('makes the repository in a store that keeps its word, and leaves nothing else', async () => {
    await gateway.createBucket('honest');
    const repositories = new Repositories();
    await repositories.open(repositoryOf('honest', gateway.endpoint));
    await expect(keysIn('honest')).resolves.toEqual(['repository.json']);
    await repositories.close();
  });
});
