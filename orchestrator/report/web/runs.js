// The page of one or more runs: which one is shown, and its timeline.

const articles = queryAll('article.run');
const overview = query('#overview');

function begin(article) {
  if (article.dataset.begun) return;
  article.dataset.begun = 'yes';
  const data = query('script[type="application/json"]', article);
  const root = query('.timeline', article);
  if (data && root) new Timeline(root, JSON.parse(data.textContent));
}

// show goes to the run that the address names, else to the overview.
function show() {
  const name = decodeURIComponent(location.hash.slice(1));
  const target = name && document.getElementById(name);
  const chosen = articles.find(article => article.id === name || target && article.contains(target)) ?? (overview ? null : articles[0]);
  for (const article of articles) article.hidden = article !== chosen;
  if (overview) overview.hidden = chosen !== null;
  if (!chosen) return;
  document.title = chosen.dataset.title + ' – Killpoint';
  begin(chosen);
  if (target === chosen) scrollTo({ top: 0, behavior: 'instant' });
  else if (target) target.scrollIntoView();
}

if (overview) {
  const rows = queryAll('tbody tr', overview);
  const search = query('input[type=search]', overview), outcome = query('select', overview);
  const filter = () => {
    const wanted = search.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted) || outcome.value !== '' && row.dataset.outcome !== outcome.value;
      if (!row.hidden) shown++;
    }
    query('.count', overview).textContent = shown === rows.length ? `${shown} runs` : `${shown} of ${rows.length} runs`;
  };
  search.addEventListener('input', filter);
  outcome.addEventListener('input', filter);
  filter();
}
addEventListener('hashchange', show);
show();
