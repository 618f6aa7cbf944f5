// Asks Python every few seconds to look again, while there is something to wait for and the page is seen. Where there is
// no page, as under papermill, nobody asks; and no question is sent before the last one is answered.

export default {
  render({ model, el }) {
    let waiting = false;
    const answered = () => {
      waiting = false;
    };
    const ask = () => {
      if (!model.get("going") || waiting || document.hidden || !el.isConnected) return;
      waiting = true;
      try {
        model.send({ look: true });
      } catch {
        clearInterval(timer); // the kernel that could answer is gone
      }
    };
    const timer = setInterval(ask, 1000 * model.get("seconds"));
    model.on("change:looked", answered);
    return () => {
      clearInterval(timer);
      model.off("change:looked", answered);
    };
  },
};
