import { setTimeout as sleep } from 'node:timers/promises';
import { PutsBehind } from '../../engines/puts-behind.ts';

test('eight puts are under way at once, and all have ended when they are settled', async () => {
  const puts = new PutsBehind();
  let running = 0;
  let most = 0;
  let ended = 0;
  for (let put = 0; put < 50; put += 1) {
    await puts.begin(async () => {
      running += 1;
      most = Math.max(most, running);
      await sleep(2);
      running -= 1;
      ended += 1;
    });
  }
  await puts.settled();
  expect({ most, ended }).toEqual({ most: 8, ended: 50 });
});

test('a put that fails is told by whoever comes next, and those beside it are waited for', async () => {
  const puts = new PutsBehind();
  const ended: string[] = [];
  await puts.begin(async () => {
    await sleep(5);
    ended.push('beside');
  });
  await puts.begin(() => Promise.reject(new Error('disk full')));
  await sleep(1);
  await expect(puts.begin(() => Promise.resolve(ended.push('never begun')))).rejects.toThrow('disk full');
  await expect(puts.settled()).rejects.toThrow('disk full');
  expect(ended).toEqual(['beside']);
});
