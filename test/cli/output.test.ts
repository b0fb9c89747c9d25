import { print, say } from '../../cli/output.ts';

test.each([
  ['print', print, process.stdout],
  ['say', say, process.stderr],
] as const)('%s lets no name from a database or repository steer the terminal', (_, write, stream) => {
  const written: string[] = [];
  const spy = jest.spyOn(stream, 'write').mockImplementation((text) => written.push(String(text)) > 0);
  try {
    write('public.\u001b[2Kname\r\u009b2J\ta\nüb日😀');
  } finally {
    spy.mockRestore();
  }
  expect(written).toEqual(['public.\\u001b[2Kname\\u000d\\u009b2J\ta\nüb日😀\n']);
});
