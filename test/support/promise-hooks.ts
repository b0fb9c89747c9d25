import v8 from 'node:v8';

/**
 * A replay runs workflows in the test's own process, where the SDK leaves a hook on every promise. It would also see those of the test files that Jest runs there
 * afterwards, and throws at a promise of another realm. This ends the hook with the file that calls it.
 */
export function endPromiseHooksAfterwards(): void {
  const hooks = jest.spyOn(v8.promiseHooks, 'createHook');
  afterAll(() => {
    // Else the SDK leaves its hook in another way, and this helper does nothing.
    expect(hooks).toHaveBeenCalled();
    for (const { value: stop } of hooks.mock.results) stop();
    hooks.mockRestore();
  });
}
