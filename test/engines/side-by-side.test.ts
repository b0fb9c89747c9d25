import { sideBySide } from '../../engines/side-by-side.ts';

const never = new AbortController().signal;

test('two things are done at once, and both results come back', async () => {
  const met = Promise.withResolvers<string>();
  const results = await sideBySide(
    never,
    async () => await met.promise,
    async () => {
      met.resolve('from the other');
      return 2;
    },
  );
  expect(results).toEqual(['from the other', 2]);
});

test('where one fails the other is stopped, and has ended before the failure is thrown', async () => {
  let ended = false;
  const failing = sideBySide(
    never,
    () => Promise.reject(new Error('the first')),
    (signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          setTimeout(() => {
            ended = true;
            reject(new Error('stopped'));
          }, 20);
        });
      }),
  );
  await expect(failing).rejects.toThrow('the first');
  expect(ended).toBe(true);
});

test('the caller’s own abort reaches both', async () => {
  const abort = new AbortController();
  const untilAbort = (signal: AbortSignal) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const working = sideBySide(abort.signal, untilAbort, untilAbort);
  abort.abort(new Error('cancelled'));
  await expect(working).rejects.toThrow('cancelled');
});
