select
    plan,
    seed,
    sum(share) as total
from {{ ref('mixtures') }}
group by plan, seed
having abs(total - 1) > 1e-9
