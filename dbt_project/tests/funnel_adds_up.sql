select
    asset,
    sum(n_rows) filter (where outcome = 'in') as rows_in,
    sum(n_rows) filter (where outcome <> 'in') as rows_accounted_for
from {{ ref('funnel') }}
group by asset
having rows_in is distinct from rows_accounted_for
