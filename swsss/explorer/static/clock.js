// Sends Python a message every few seconds to check for changes, while `going` is true and the page is on the screen.
// Without a page, as under papermill, nothing is sent; and no message before the last one is answered.

export default {
  render({ model, el }) {
    let waiting = false;
    const answered = () => {
      waiting = false;
    };
    const send = () => {
      if (!model.get("going") || waiting || document.hidden || !el.isConnected) return;
      waiting = true;
      try {
        model.send({ look: true });
      } catch {
        clearInterval(timer); // the kernel that could answer is gone
      }
    };
    const timer = setInterval(send, 1000 * model.get("seconds"));
    model.on("change:looked", answered);
    return () => {
      clearInterval(timer);
      model.off("change:looked", answered);
    };
  },
};
