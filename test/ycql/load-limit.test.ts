import { setImmediate as nextTurn } from 'node:timers/promises';
import { LoadLimit, limitMemory, type RequestKind } from '../../engines/ycql/load-limit.ts';

const load = { inFlightPerNode: 3, writesInFlightPerNode: 5, pageRows: 1 };

test('requests under way are bounded for each node and kind, over all that share the memory', async () => {
  const memory = limitMemory();
  const threads = [new LoadLimit(load, memory), new LoadLimit(load, memory)];
  const underWay = new Map<string, number>();
  const most = new Map<string, number>();
  const request = async (index: number, kind: RequestKind, node: string): Promise<void> => {
    const name = `${kind} ${node}`;
    await threads[index % threads.length]?.request(kind, node, async () => {
      const now = (underWay.get(name) ?? 0) + 1;
      underWay.set(name, now);
      most.set(name, Math.max(most.get(name) ?? 0, now));
      await nextTurn();
      underWay.set(name, (underWay.get(name) ?? 0) - 1);
      if (index % 7 === 0) throw new Error('it failed');
    });
  };
  const nodes = ['10.0.0.1:9042', '10.0.0.2:9042'];
  const requests = Array.from({ length: 200 }, (_, index) =>
    nodes.flatMap((node) => [request(index, 'read', node), request(index, 'write', node)]),
  ).flat();
  const ended = await Promise.allSettled(requests);
  expect(ended.filter(({ status }) => status === 'fulfilled')).toHaveLength(4 * 171);
  expect([...most].sort()).toEqual([
    ['read 10.0.0.1:9042', 3],
    ['read 10.0.0.2:9042', 3],
    ['write 10.0.0.1:9042', 5],
    ['write 10.0.0.2:9042', 5],
  ]);
  for (const node of nodes) expect(threads[0]?.busy('read', node)).toBe(0);
});

test('rows per second are bounded over all that share the memory', async () => {
  const memory = limitMemory();
  const threads = [1, 2].map(() => new LoadLimit({ ...load, rowsPerSecond: 10_000 }, memory));
  const { signal } = new AbortController();
  const startedAt = performance.now();
  await Promise.all(threads.map((thread) => thread.pay(1_000, signal)));
  // Timers may be a millisecond early.
  expect(performance.now() - startedAt).toBeGreaterThan(195);
});
