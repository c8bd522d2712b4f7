select
    id as claim_id,
    system,
    claim,
    metric,
    baseline,
    treatment,
    difference::double as difference,
    low::double as low,
    high::double as high,
    n_seeds::bigint as n_seeds,
    n_items::bigint as n_items,
    held_equal,
    verdict,
    note
from {{ source('lake', 'claims') }}
