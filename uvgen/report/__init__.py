"""Looking at a whole data set in a browser: pages that open from disk, without a server or a network.

`table.py` makes a row of numbers for each sample and orders them, worst first; `overview.py` says what the set is and
holds; `pictures.py` draws the samples that are shown; `javascript.py` is how data gets into pages that may fetch
nothing; `options.py` says which samples get pictures; `write.py` puts it all in a folder. The pages' sources are in
`web/`, what browsers load is in `assets/` (made from them by ``npm ci && npm run build``) and `templates/`. It builds
on `preview`. A new number of a sample is a column in `table.py` and its place in `web/src/columns.js`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
