select
    claim_id,
    system,
    claim,
    metric,
    baseline,
    treatment,
    difference,
    low,
    high,
    n_seeds,
    n_items,
    held_equal,
    verdict,
    note
from {{ ref('stg_claims') }}
