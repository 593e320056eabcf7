// A slider goes through the slices of a case; a box hides truth or prediction in all of them.
for (const figure of document.querySelectorAll(".overlay")) {
  const slider = figure.querySelector("input[type=range]");
  if (!slider) continue;
  const slices = figure.querySelectorAll(".slices > svg");
  const label = figure.querySelector(".slice-label");
  slider.hidden = false;
  slider.addEventListener("input", () => {
    slices.forEach((slice, place) => slice.toggleAttribute("hidden", place !== Number(slider.value)));
    const text = slices[slider.value].getAttribute("aria-label").split(/, (?=slice \d+: )/).pop();
    label.textContent = text;
    slider.setAttribute("aria-valuetext", text);
  });
}
for (const toggles of document.querySelectorAll(".toggles")) {
  toggles.hidden = false;
  for (const box of toggles.querySelectorAll("input")) {
    box.addEventListener("change", () =>
      toggles.parentElement.classList.toggle(`no-${box.dataset.hide}`, !box.checked));
  }
}
