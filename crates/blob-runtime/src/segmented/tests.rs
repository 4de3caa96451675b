mod change;
mod crash;
mod damage;
mod toy;
